"""Every error a client, an application or an operator can see.

GatewayError
├── ConfigError           the operator's setting is wrong; the process exits 2
├── NotRunning            the gateway was used before its lifespan started
├── BrokerUnavailable     not done, or nobody can know
│   ├── BrokerRefused     the broker has answered, and said no
│   └── RegistryBusy      others were before it, for too long or too many
├── EnvelopeTooLarge      refused where it was made
├── BadChannel            no channel may be called that
├── UnknownChannel        its namespace is not set up
├── ChannelLimit          a connection has as many as it may
│   └── WorkerChannelLimit  its worker has
├── NotAvailable          its namespace does not have this
├── PresenceLimit         more are there than are told at once
├── PublicationTooLarge   refused where it was made
├── UnrecoverablePosition what came after it is not known any more
├── TokenInvalid          nobody who is believed has said that
│   └── TokenForAnother   it is for another user, client or channel
├── TokenExpired          it was valid, and another can be had
├── TokenKeysUnavailable  nobody can know whether a token is valid
├── Refused               raised by an application to close a connection
├── Denied                raised by an application to deny what a client asks
└── ConnectionEnding      a reason to close one connection, with its close code
    ├── SlowConsumer
    ├── RateExceeded
    ├── BinaryMessage
    ├── HandlerFailed
    ├── Expired
    ├── BrokerAway
    └── Disconnected

The close codes are rows of ``gateway.close_codes``.
"""

from __future__ import annotations

from typing import Final

from gateway.arguments import text, whole
from gateway.close_codes import (
    BROKER_AWAY,
    DISCONNECTED,
    EXPIRED,
    HANDLER_FAILED,
    INTERNAL_ERROR,
    INVALID_TOKEN,
    NO_BINARY,
    NORMAL,
    SLOW,
    TOO_MANY_MESSAGES,
)

PERMISSION_DENIED_CODE: Final = 103
MAX_MESSAGE_BYTES: Final = 255


def check_close(code: object, reason: object) -> tuple[int, str]:
    """The code and the reason, if an application may close a connection with them (RFC 6455
    section 7.4.2).

    Raises:
        TypeError: The code is no int, or the reason no text.
        ValueError: Says what would be right.
        UnicodeEncodeError: The reason has half of a surrogate pair in it.
    """
    number, words = whole("close code", code), text("close reason", reason)
    if number != NORMAL.code and not 3000 <= number <= 4999:
        raise ValueError(f"close code {number} is not 1000 and not in 3000 to 4999")
    if not 1 <= len(words.encode()) <= 123:
        raise ValueError(f"close reason {words!r} is not 1 to 123 UTF-8 bytes long")
    return number, words


class GatewayError(Exception):
    """Base of every error this package raises on purpose."""

    code = "internal"  # log and wire value, never reused
    close_code = INTERNAL_ERROR.code
    retryable = True


class ConfigError(GatewayError):
    """Shown to the operator as is; the process exits 2."""

    code = "config"
    retryable = False


class NotRunning(GatewayError):
    """The gateway is not running in this process, or a client of one has ended."""

    code = "not_running"

    def __init__(
        self,
        why: str = (
            "this gateway is not running in this process: run it with `gateway serve`, or give "
            "your application `lifespan=gateway.lifespan`; a process that is no worker sends with "
            "`async with gateway.client(redis_url) as client`, and a test with "
            "`with gateway.testing.outbox(gateway):`"
        ),
    ) -> None:
        super().__init__(why)


class BrokerUnavailable(GatewayError):
    """Not done, or we cannot know. Do not retry blindly."""

    code = "broker_unavailable"


class BrokerRefused(BrokerUnavailable):
    """The broker has answered, and said no: to try the same again at once is of no use."""

    code = "broker_refused"


class RegistryBusy(BrokerUnavailable):
    """It was not asked who the connections are: others were before it, for too long, or too many.

    Args:
        within_s: For how long it has waited. None: it was not let wait.
    """

    code = "registry_busy"

    def __init__(self, *, before_it: int, within_s: float | None = None) -> None:
        super().__init__(
            f"not done: the registry is asked by a few at a time, {before_it} waited before this "
            f"one, and its turn does not come within {within_s:g} s"
            if within_s is not None
            else "not done: ask for fewer users at once. The registry is asked by a few at a time, "
            f"and {before_it} wait in this process already, as many as may"
        )


class EnvelopeTooLarge(GatewayError):
    """An envelope is refused where it is made, so that nobody downstream can be cut by it."""

    code = "too_large"
    retryable = False

    def __init__(self, *, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"an envelope of {size_bytes} B is over the limit of {limit_bytes} B")


class BadChannel(GatewayError):
    """No channel may be called that. ``error_code`` is what a client is answered."""

    code = "bad_channel"
    error_code = 107
    retryable = False


class UnknownChannel(GatewayError):
    """The channel's namespace is not set up. ``error_code`` is what a client is answered."""

    code = "unknown_channel"
    error_code = 102
    retryable = False


class ChannelLimit(GatewayError):
    """The connection has as many channels as it may have, or it is a ``WorkerChannelLimit``."""

    code = "channel_limit"
    error_code = 106
    retryable = False


class WorkerChannelLimit(ChannelLimit):
    """The worker that holds the connection has as many channels as it may have. Another one may
    have room, and so may this one in a while.
    """

    code = "worker_channel_limit"
    retryable = True


class NotAvailable(GatewayError):
    """The channel's namespace keeps no history. ``error_code`` is what a client is answered."""

    code = "not_available"
    error_code = 108
    retryable = False


class PresenceLimit(GatewayError):
    """More clients are in the channel than are told at once; their number is known all the same.
    ``error_code`` is what a client is answered.
    """

    code = "presence_limit"
    error_code = 106
    retryable = False

    def __init__(self, channel: str, *, limit: int) -> None:
        super().__init__(
            f"more than {limit} clients are in channel {channel}, and no more are told at once: "
            f"ask for presence_stats, which counts them"
        )


class PublicationTooLarge(GatewayError):
    """A publication is over what one may be. ``error_code`` is what a client is answered."""

    code = "publication_too_large"
    error_code = 106
    retryable = False

    def __init__(self, *, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"a publication of {size_bytes} B is over the limit of {limit_bytes} B")


class UnrecoverablePosition(GatewayError):
    """The position is of another epoch: what came after it is not known any more."""

    code = "unrecoverable_position"
    error_code = 112
    retryable = False


class TokenInvalid(GatewayError):
    """A token that proves nothing. Why is for the log: it never has the token's content in it.

    In ``connect`` and ``refresh`` it closes the connection, in ``subscribe`` it is answered with
    ``error_code``.
    """

    code = "token_invalid"
    close_code = INVALID_TOKEN.code
    error_code = 103
    retryable = False


class TokenForAnother(TokenInvalid):
    """A valid token, for another user, client or channel. It closes the connection."""

    code = "token_for_another"


class TokenExpired(GatewayError):
    """The token was valid until a while ago. ``error_code`` makes a client fetch another."""

    code = "token_expired"
    close_code = EXPIRED.code
    error_code = 109


class TokenKeysUnavailable(GatewayError):
    """The key of a token is not there, and cannot be had now. ``error_code`` is temporary."""

    code = "token_keys_unavailable"
    error_code = 100


class Refused(GatewayError):
    """Raise it in ``on_connect`` to accept the handshake and close it with ``code`` and ``reason``.

    The socket is accepted first because a browser shows a page no HTTP status of a refused
    handshake. Use 4000-4499 to let the client try again and 4500-4999 to stop it. In a hook it
    closes the connection of the client that asks.

    Args:
        code: 1000, or 3000 to 4999.
        reason: 1 to 123 UTF-8 bytes.
    """

    code = "refused"

    def __init__(self, code: int, reason: str) -> None:
        self.close_code, self.reason = check_close(code, reason)
        super().__init__(f"{self.close_code} {self.reason}")


class Denied(GatewayError):
    """Raise it in a hook to answer a client that its command is not done. The connection stays.

    Args:
        error_code: 103, or 400 to 1999 for codes of the application's own.
        message: 1 to 255 UTF-8 bytes, for the client.
        temporary: Clients try again by themselves, to subscribe for instance.
    """

    code = "denied"
    retryable = False

    def __init__(
        self,
        error_code: int = PERMISSION_DENIED_CODE,
        message: str = "permission denied",
        *,
        temporary: bool = False,
    ) -> None:
        number, words = whole("error code", error_code), text("message", message)
        if number != PERMISSION_DENIED_CODE and not 400 <= number <= 1999:
            raise ValueError(f"error code {number} is not 103 and not in 400 to 1999")
        if not 1 <= len(words.encode()) <= MAX_MESSAGE_BYTES:
            raise ValueError(f"message {words!r} is not 1 to {MAX_MESSAGE_BYTES} UTF-8 bytes long")
        super().__init__(f"{number} {words}")
        self.error_code = number
        self.message = words
        self.temporary = bool(temporary)


class ConnectionEnding(GatewayError):
    """A reason to close one connection: ``close_code``, and ``reason`` as its client sees it."""

    reason = INTERNAL_ERROR.reason


class SlowConsumer(ConnectionEnding):
    """The client does not read what it is sent."""

    code = "slow_consumer"
    close_code, reason = SLOW


class RateExceeded(ConnectionEnding):
    """The client sends more messages a second than one connection may."""

    code = "rate_exceeded"
    close_code, reason = TOO_MANY_MESSAGES


class BinaryMessage(ConnectionEnding):
    """The text endpoint got a binary message (RFC 6455 section 7.4.1, 1003)."""

    code = "binary_message"
    close_code, reason = NO_BINARY
    retryable = False


class HandlerFailed(ConnectionEnding):
    """The application's handler raised, ran out of time, or took its workers down."""

    code = "handler_failed"
    close_code, reason = HANDLER_FAILED


class Expired(ConnectionEnding):
    """The time for which the application has let this client in is over. It may come back."""

    code = "expired"
    close_code, reason = EXPIRED


class Disconnected(ConnectionEnding):
    """A handler or a backend wants this client to go, and to stay away."""

    code = "disconnected"
    close_code, reason = DISCONNECTED
    retryable = False


class BrokerAway(ConnectionEnding):
    """A message has waited for the broker for as long as a message may wait."""

    code = "broker_away"
    close_code, reason = BROKER_AWAY
