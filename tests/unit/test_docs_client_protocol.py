"""The page on the Centrifuge protocol is drawn from the tables of the code."""

from __future__ import annotations

import pytest

from gateway.protocol.centrifuge import codes
from gateway.protocol.centrifuge.codes import Error
from gateway.protocol.centrifuge.commands import NAMES
from gateway.protocol.centrifuge.refusals import LIMITS
from gateway.protocol.centrifuge.states import MOVES, ON_COMMAND, ChannelState, Verdict
from gateway.protocol.conversation import MAX_IN_FLIGHT
from gateway.protocol.json_depth import MAX_DEPTH
from tests.support.pages import DOCS, rows

PAGE = DOCS / "reference" / "client-protocol.md"


def test_the_states_of_a_connection_are_the_table() -> None:
    listed = [tuple(row.values()) for row in rows(PAGE, "state", "event")]

    assert listed == [
        (state.value, event.value, moved.value) for (state, event), moved in MOVES.items()
    ]


def shown(verdict: Verdict | Error) -> str:
    return f"error {verdict.code}" if isinstance(verdict, Error) else verdict.name.lower()


@pytest.mark.parametrize("state", ChannelState)
def test_the_states_of_a_channel_are_the_table(state: ChannelState) -> None:
    listed = {row["command"]: row[state.value] for row in rows(PAGE, "command", "subscribed")}

    assert listed == {
        NAMES[command]: shown(verdict)
        for (where, command), verdict in ON_COMMAND.items()
        if where is state
    }


def test_every_error_is_listed_as_it_is() -> None:
    listed = [tuple(row.values())[:3] for row in rows(PAGE, "code", "temporary")]

    assert listed == [
        (str(error.code), error.message, "yes" if error.temporary else "no")
        for error in codes.EVERY_ERROR
    ]


def test_every_end_of_a_subscription_is_listed_as_it_is() -> None:
    listed = [
        tuple(row.values())[:2] for row in rows(PAGE, "code", "reason") if "temporary" not in row
    ]

    assert listed == [(str(ended.code), ended.reason) for ended in codes.EVERY_UNSUBSCRIBED]


def test_every_bound_is_listed_as_it_is() -> None:
    listed = [int(row["bound"]) for row in rows(PAGE, "what", "bound")]

    assert listed == [*LIMITS, MAX_IN_FLIGHT, MAX_DEPTH]
