"""The shipped alerts where a gateway is scraped once a minute, and one scrape in four is late."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from tests.integration.test_alerts import CASES, RULES, case
from tests.support.alert_series import INTERVAL_S, promtool

pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here")


def each(values: str) -> Iterator[str]:
    """The values of promtool's notation, one by one."""
    for part in values.split():
        first, _, times = part.partition("x")
        start, _, step = first.partition("+")
        if start == "_":
            yield from ["_"] * int(times or 1)
            continue
        for number in range(int(times) + 1 if times else 1):
            yield f"{float(start) + number * float(step or 0):g}"


def once_a_minute(values: str) -> str:
    seen = islice(each(values), 0, None, 60 // INTERVAL_S)
    return " ".join("_" if number % 4 == 1 else value for number, value in enumerate(seen))


def test_every_alert_fires_when_it_should_where_scrapes_are_a_minute_apart(tmp_path: Path) -> None:
    """Red with rates of two minutes: there is none after a scrape that is late, and what has been
    too high begins anew.
    """
    tests = [case(name, *what, interval_s=60, seen=once_a_minute) for name, what in CASES.items()]
    file = tmp_path / "alerts_test.json"  # which is YAML
    every = {"rule_files": [str(RULES)], "evaluation_interval": "15s"}
    file.write_text(json.dumps(every | {"tests": tests}))
    promtool("test", "rules", str(file))
