"""Which deadline must be shorter than which, and that each is said in one place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.protocol import deadlines
from gateway.protocol.deadlines import RULES, Rule

ROOT = Path(__file__).parents[3]
SECONDS = {n: v for n, v in vars(deadlines).items() if n.endswith("_S")}
PAGE = (ROOT / "docs/concepts/membership.md").read_text().partition("## Deadlines")[2]


def seconds(terms: str) -> float:
    """Of a sum like ``2 * PROBE_S + DEAF_S``."""
    total = 0.0
    for term in terms.split(" + "):
        times, _, name = term.rpartition(" * ")
        total += float(times or 1) * SECONDS[name]
    return total


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.shorter} < {rule.longer}")
def test_what_must_be_shorter_is(rule: Rule) -> None:
    assert seconds(rule.shorter) < seconds(rule.longer), rule.why


def test_every_deadline_has_a_bound_or_bounds_another() -> None:
    alone = {"DECISION_PATIENCE_S"}  # of a client, for which nothing else waits
    named = {name for rule in RULES for name in re.findall(r"[A-Z_]+_S\b", str(rule[:2]))}

    assert named == SECONDS.keys() - alone


def test_the_docs_show_every_deadline_and_every_rule() -> None:
    values = re.findall(r"^\| `([A-Z_]+)` \| ([0-9.]+) \| .+ \|$", PAGE, re.MULTILINE)
    rules = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| (.+) \|$", PAGE, re.MULTILINE)

    assert dict(values) == {name: f"{round(value, 2):g}" for name, value in SECONDS.items()}
    assert rules == [tuple(rule) for rule in RULES]


def test_no_script_has_a_deadline_of_its_own() -> None:
    """A thousand is the milliseconds of a second, and how much a script does at once."""
    for file in (ROOT / "gateway/redis_support/scripts").glob("*.lua"):
        code = re.sub(r"--.*", "", file.read_text())
        numbers = [float(n) for n in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", code)]

        assert not [n for n in numbers if n > 1000 or n != int(n)], file


def test_no_other_module_gives_one_of_these_names_a_value() -> None:
    again = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in (ROOT / "gateway").rglob("*.py")
        if file.name != "deadlines.py"
        for name in re.findall(r"^([A-Z_]+_S)\b.* = ", file.read_text(), re.MULTILINE)
        if name in SECONDS
    ]

    assert not again
