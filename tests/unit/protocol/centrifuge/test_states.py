"""The tables are whole."""

from __future__ import annotations

from itertools import product
from typing import get_args

from gateway.protocol.centrifuge.commands import OnChannel
from gateway.protocol.centrifuge.states import (
    MOVES,
    ON_COMMAND,
    ChannelState,
    Event,
    State,
    Verdict,
)


def test_every_state_is_left_by_a_close_but_the_last() -> None:
    assert {state for state, event in MOVES if event is Event.CLOSE} == set(State) - {State.CLOSED}
    assert not [move for move in MOVES if move[0] is State.CLOSED]


def test_every_state_can_be_reached() -> None:
    assert set(MOVES.values()) == set(State) - {State.NEW}


def test_every_command_has_a_verdict_in_every_state_of_a_channel() -> None:
    assert ON_COMMAND.keys() == set(product(ChannelState, get_args(OnChannel)))


def test_commands_wait_while_a_channel_changes_and_only_then() -> None:
    changing = {ChannelState.SUBSCRIBING, ChannelState.UNSUBSCRIBING}

    assert {state for (state, _), verdict in ON_COMMAND.items() if verdict is Verdict.WAIT} == (
        changing
    )
    assert all(
        verdict is Verdict.WAIT for (state, _), verdict in ON_COMMAND.items() if state in changing
    )
