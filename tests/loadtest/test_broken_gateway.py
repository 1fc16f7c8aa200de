"""A load test that calls a broken gateway clean would be worse than none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.loadtest import Outcome


@pytest.mark.parametrize(
    ("application", "fault"), [("dropping", "missing"), ("misrouting", "misrouted")]
)
def test_the_fault_of_a_broken_gateway_is_named(
    outcome_of: Callable[[str], Outcome], application: str, fault: str
) -> None:
    outcome = outcome_of(application)

    assert outcome.code == 1, outcome.output
    assert outcome.headline.startswith("not clean: ")
    assert f" {fault}" in outcome.headline
    assert f"{fault}:" in (outcome.folder / "summary.md").read_text()


def test_a_gateway_that_lets_nobody_back_in_is_not_clean(
    outcome_of: Callable[[str], Outcome],
) -> None:
    outcome = outcome_of("shutting")

    assert outcome.code == 1, outcome.output
    assert " users were not connected at the end" in outcome.headline
    assert " handshakes refused: HTTP 500" in outcome.headline
