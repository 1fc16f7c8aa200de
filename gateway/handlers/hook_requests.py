"""What hooks are given, and what becomes of what they return.

JSON comes in as Python values. What goes out is written here, by whoever runs the hook, so that
what cannot be sent is an error to its caller alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, assert_never

import msgspec

from gateway.handlers.checks import WrongAnswer, described
from gateway.handlers.expiry import unix_s
from gateway.protocol.centrifuge.replies import embeddable, storable
from gateway.protocol.hooks import HookKind, HookRequest, HookResult

if TYPE_CHECKING:
    from gateway.handlers.definitions import Connection

Json = Any
"""A value of JSON: None, bool, int, float, str, and lists and dicts of them. What is returned may
also be made of dataclasses, datetimes and the like: they are written as ``msgspec.json`` does."""

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# Of values that have no JSON: their types, their texts, or that they hold themselves.
_UNWRITABLE: Final = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A client wants to subscribe.

    Attributes:
        data: What it gives with that; None if nothing.
        token_claims: Of its subscription token, if it gave one: checked.
        id: The same on every attempt.
        attempt: 1, or more when workers died while they handled this; 3 at most.
    """

    channel: str
    connection: Connection
    data: Json = field(default=None, repr=False)
    token_claims: Mapping[str, Json] | None = field(default=None, repr=False)
    id: str = ""
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Grant:
    """What ``on_subscribe`` may return to say more than yes.

    Attributes:
        info: What others are shown of this subscriber: in presence, join and leave, and beside
            what it publishes.
        data: What the client is told.
        expires_at: Unix seconds, or a ``datetime`` with its time zone: when the subscription ends.
            None is never.

    Raises:
        TypeError: The time is neither number nor datetime.
        ValueError: The time has no time zone, is no number, or is after the year 9999.
    """

    info: Json = None
    data: Json = None
    expires_at: float | datetime | None = None

    def __post_init__(self) -> None:
        _ = self.expires_unix_s  # whoever makes a wrong one is told at once

    @property
    def expires_unix_s(self) -> float | None:
        """``expires_at`` as Unix seconds."""
        return unix_s(self.expires_at)


@dataclass(frozen=True, slots=True)
class Publishing:
    """A client wants to publish.

    Attributes:
        info: What others are shown of it, as ``on_subscribe`` or its token said; None if nothing.
        id: The same on every attempt.
        attempt: 1, or more when workers died while they handled this; 3 at most.
    """

    channel: str
    data: Json = field(repr=False)
    connection: Connection
    info: Json = field(default=None, repr=False)
    id: str = ""
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Unsubscription:
    """A client is subscribed no more.

    Attributes:
        code: Why: 0 where the client wanted it; 2000 to 2999 where the server ended the
            subscription; the close code where the connection has ended.
        reason: The same in words.
        id: The same on every attempt.
        attempt: 1, or more when workers died while they handled this; 3 at most.
    """

    channel: str
    connection: Connection
    code: int = 0
    reason: str = ""
    id: str = ""
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Call:
    """A client calls a method.

    Attributes:
        id: The same on every attempt: use it to do a thing once.
        attempt: 1, or more when workers died while they handled this; 3 at most.
    """

    method: str
    data: Json = field(repr=False)
    connection: Connection
    id: str = ""
    attempt: int = 1


Given = Subscription | Publishing | Unsubscription | Call
OnSubscribe = Callable[[Subscription], Awaitable[Grant | None]]
OnPublish = Callable[[Publishing], Awaitable[Json]]
OnUnsubscribe = Callable[[Unsubscription], Awaitable[None]]
OnRpc = Callable[[Call], Awaitable[Json]]


class UnreadableJson(ValueError):
    """A client has sent JSON that cannot be made Python values, nested too deeply for instance."""


def given(request: HookRequest, connection: Connection, event_id: str, attempt: int) -> Given:
    """What the hook is called with.

    Raises:
        UnreadableJson: The hook cannot be asked.
    """
    name, data = request.name, read(request.data)
    match request.kind:
        case HookKind.SUBSCRIBE:
            claims = read(request.claims)
            return Subscription(name, connection, data, claims, event_id, attempt)
        case HookKind.PUBLISH:
            return Publishing(name, data, connection, read(request.info), event_id, attempt)
        case HookKind.UNSUBSCRIBE:
            code, reason = request.code, request.reason
            return Unsubscription(name, connection, code, reason, event_id, attempt)
        case HookKind.RPC:
            return Call(name, data, connection, event_id, attempt)
    assert_never(request.kind)


def result(kind: HookKind, returned: object, hook: object) -> HookResult:
    """What a hook means by what it has returned, written as JSON.

    Raises:
        WrongAnswer: That cannot be sent; the text names the hook.
    """
    try:
        match kind:
            case HookKind.SUBSCRIBE:
                return _granted(returned)
            case HookKind.PUBLISH:
                return HookResult(data=None if returned is None else _kept(returned))
            case HookKind.UNSUBSCRIBE:
                return HookResult()
            case HookKind.RPC:
                return HookResult(data=written(returned))
    except _UNWRITABLE as error:
        # The error's own text may show what a user wrote.
        why = f"{type(returned).__name__} that cannot be sent ({type(error).__name__})"
    except _NoGrant:
        why = f"{type(returned).__name__}, not Grant or None"
    else:
        assert_never(kind)
    raise WrongAnswer(f"the on_{kind.value} handler {described(hook)} returned {why}")


class _NoGrant(Exception):
    pass


def _granted(returned: object) -> HookResult:
    grant = Grant() if returned is None else returned
    if not isinstance(grant, Grant):
        raise _NoGrant
    return HookResult(
        data=None if grant.data is None else written(grant.data),
        info=None if grant.info is None else _kept(grant.info),
        expires_unix_s=grant.expires_unix_s,
    )


def written(value: Json) -> bytes:
    """A value as JSON, without raw newlines.

    Raises:
        TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError: It has none.
    """
    # Read once more: an application may put in what is said to be JSON, and is not.
    return bytes(embeddable(_encode(value)))


def _kept(value: Json) -> bytes:
    """The same of what is kept and read by others. Raises as ``written``, also for its depth."""
    return bytes(storable(_encode(value)))


def read(json: bytes | None) -> Json:
    """The value of JSON that a client gave; None where it gave none.

    Raises:
        UnreadableJson: It cannot be made a value.
    """
    if not json:
        return None
    try:
        return _decode(json)
    except _UNREADABLE as error:
        raise UnreadableJson(str(error)) from None
