"""A load test that calls a broken gateway clean would be worse than none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.loadtest import Outcome, run
from tests.support.serve import Served

LOAD = ("--users", "20", "--rate", "150", "--seconds", "5")


def steady(folder: Path, application: str) -> Outcome:
    """A steady load on this application, with two workers."""
    served = Served(
        folder, f"tests.loadtest.broken:{application}", "--workers", "2",
        environment={"GATEWAY_TRACE": "on"},
    )  # fmt: skip
    with served:
        return run(folder, "steady", *LOAD, "--host", served.url)


@pytest.mark.parametrize(
    ("application", "fault"), [("dropping", "missing"), ("misrouting", "misrouted")]
)
def test_the_fault_of_a_broken_gateway_is_named(
    tmp_path: Path, application: str, fault: str
) -> None:
    outcome = steady(tmp_path, application)

    assert outcome.code == 1, outcome.output
    assert outcome.headline.startswith("not clean: ")
    assert f" {fault}" in outcome.headline
    assert f"{fault}:" in (outcome.folder / "summary.md").read_text()
