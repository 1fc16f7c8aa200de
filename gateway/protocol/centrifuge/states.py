"""What may come when: a table for the connection, and one for each channel of it."""

from __future__ import annotations

from enum import Enum
from typing import Final

from gateway.protocol.centrifuge.codes import ALREADY_SUBSCRIBED, PERMISSION_DENIED, Error
from gateway.protocol.centrifuge.commands import (
    History,
    OnChannel,
    Presence,
    PresenceStats,
    Publish,
    SubRefresh,
    Subscribe,
    Unsubscribe,
)

# The connection


class State(Enum):
    NEW = "new"  # nobody has said who it is
    CONNECTING = "connecting"  # it has, and is being authenticated
    CONNECTED = "connected"
    REFUSED = "refused"  # its connect has got an error; it is of no use any more
    CLOSED = "closed"

    __hash__ = object.__hash__  # that of Enum is Python, and asked for with every command


class Event(Enum):
    CONNECT = "connect"
    COMMAND = "any other command"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    CLOSE = "close"

    __hash__ = object.__hash__  # that of Enum is Python, and asked for with every command


# A command whose row is missing ends the connection: 3501. One that comes while CONNECTING waits,
# as SDKs send what they want in one frame with their connect.
MOVES: Final[dict[tuple[State, Event], State]] = {
    (State.NEW, Event.CONNECT): State.CONNECTING,
    (State.NEW, Event.CLOSE): State.CLOSED,
    (State.CONNECTING, Event.COMMAND): State.CONNECTING,
    (State.CONNECTING, Event.ACCEPTED): State.CONNECTED,
    (State.CONNECTING, Event.REFUSED): State.REFUSED,
    (State.CONNECTING, Event.CLOSE): State.CLOSED,
    (State.CONNECTED, Event.COMMAND): State.CONNECTED,
    (State.CONNECTED, Event.CLOSE): State.CLOSED,
    (State.REFUSED, Event.CLOSE): State.CLOSED,
}


# A channel of a connection


class ChannelState(Enum):
    ABSENT = "not subscribed"
    SUBSCRIBING = "subscribing"
    SUBSCRIBED = "subscribed"
    UNSUBSCRIBING = "unsubscribing"

    __hash__ = object.__hash__  # that of Enum is Python, and asked for with every command


class Verdict(Enum):
    ASK = "done, and answered when it is done"
    WAIT = "waits until the one before it is done"
    DONE = "answered at once: it is so already"


# What a command does in each state. Subscribing and unsubscribing take their time; whatever comes
# for the same channel meanwhile waits, so that it finds the channel as the client expects it.
ON_COMMAND: Final[dict[tuple[ChannelState, type[OnChannel]], Verdict | Error]] = {
    (ChannelState.ABSENT, Subscribe): Verdict.ASK,
    (ChannelState.ABSENT, Unsubscribe): Verdict.DONE,
    (ChannelState.ABSENT, Publish): Verdict.ASK,
    (ChannelState.ABSENT, Presence): Verdict.ASK,
    (ChannelState.ABSENT, PresenceStats): Verdict.ASK,
    (ChannelState.ABSENT, History): Verdict.ASK,
    (ChannelState.ABSENT, SubRefresh): PERMISSION_DENIED,
    (ChannelState.SUBSCRIBING, Subscribe): Verdict.WAIT,
    (ChannelState.SUBSCRIBING, Unsubscribe): Verdict.WAIT,
    (ChannelState.SUBSCRIBING, Publish): Verdict.WAIT,
    (ChannelState.SUBSCRIBING, Presence): Verdict.WAIT,
    (ChannelState.SUBSCRIBING, PresenceStats): Verdict.WAIT,
    (ChannelState.SUBSCRIBING, History): Verdict.WAIT,
    (ChannelState.SUBSCRIBING, SubRefresh): Verdict.WAIT,
    (ChannelState.SUBSCRIBED, Subscribe): ALREADY_SUBSCRIBED,
    (ChannelState.SUBSCRIBED, Unsubscribe): Verdict.ASK,
    (ChannelState.SUBSCRIBED, Publish): Verdict.ASK,
    (ChannelState.SUBSCRIBED, Presence): Verdict.ASK,
    (ChannelState.SUBSCRIBED, PresenceStats): Verdict.ASK,
    (ChannelState.SUBSCRIBED, History): Verdict.ASK,
    (ChannelState.SUBSCRIBED, SubRefresh): Verdict.ASK,
    (ChannelState.UNSUBSCRIBING, Subscribe): Verdict.WAIT,
    (ChannelState.UNSUBSCRIBING, Unsubscribe): Verdict.WAIT,
    (ChannelState.UNSUBSCRIBING, Publish): Verdict.WAIT,
    (ChannelState.UNSUBSCRIBING, Presence): Verdict.WAIT,
    (ChannelState.UNSUBSCRIBING, PresenceStats): Verdict.WAIT,
    (ChannelState.UNSUBSCRIBING, History): Verdict.WAIT,
    (ChannelState.UNSUBSCRIBING, SubRefresh): Verdict.WAIT,
}
