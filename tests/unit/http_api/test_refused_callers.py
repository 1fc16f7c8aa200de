"""Who is not believed at the connection API is logged: seldom, and with where it came from."""

from __future__ import annotations

from gateway.http_api.refused_callers import MOST_ADDRESSES, RefusedCallers
from tests.support.logs import capture_logs


def test_a_line_a_minute_says_from_where_and_how_often() -> None:
    now = 0.0
    callers = RefusedCallers(lambda: now)
    with capture_logs() as logs:
        callers.refused("192.0.2.1", "missing")
        for address in ("192.0.2.2", "192.0.2.3", "192.0.2.3"):
            callers.refused(address, "wrong_key")
        now = 59.9
        callers.refused("192.0.2.3", "wrong_key")
        assert len(logs) == 1
        now = 60.0
        callers.refused("192.0.2.2", "signature_wrong")

    first, second = ((e["event"], e["addresses"], e["calls"], e["reason"]) for e in logs)
    assert first == ("api key refused", ["192.0.2.1"], 1, "missing")
    assert second == ("api key refused", ["192.0.2.3", "192.0.2.2"], 5, "signature_wrong")


def test_however_many_there_are_a_line_names_a_few() -> None:
    now = 0.0
    callers = RefusedCallers(lambda: now)
    with capture_logs() as logs:
        callers.refused("192.0.2.1", "missing")
        for number in range(10 * MOST_ADDRESSES):
            callers.refused(f"2001:db8::{number:x}", "missing")
        now = 60.0
        callers.refused("192.0.2.1", "missing")

    assert len(logs[1]["addresses"]) == MOST_ADDRESSES
    assert logs[1]["calls"] == 10 * MOST_ADDRESSES + 1
