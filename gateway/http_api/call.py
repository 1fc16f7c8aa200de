"""One request of the connection API, and what is read of its parameters, headers and body."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from gateway.errors import (
    BadChannel,
    BrokerUnavailable,
    ChannelLimit,
    Disconnected,
    EnvelopeTooLarge,
    NotAvailable,
    RegistryBusy,
    UnknownChannel,
    WorkerChannelLimit,
    check_close,
)
from gateway.http_api import answers
from gateway.http_api.answers import Problem
from gateway.protocol.ids import WorkerId, is_worker_id

KEY_HEADERS: Final = ("idempotency-key", "amz-sdk-invocation-id")  # the first one counts
MAX_KEY_LENGTH: Final = 255
MAX_PAGE: Final = 1000
DEFAULT_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Call:
    """One request whose caller may make it.

    Attributes:
        target: What the path names: a connection, a user or a channel; else empty.
        channel: What it names besides: a channel of that connection; else empty.
        query: Parameters by name. Which ones there may be has been checked.
        headers: By their names in lower case.
    """

    target: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    channel: str = ""


@contextmanager
def checking() -> Iterator[None]:
    """Around what may fail for a reason that whoever called must know.

    Raises:
        Problem: It did.
    """
    try:
        yield
    except RegistryBusy as error:
        raise answers.unavailable(f"{error}: try again") from None
    except BrokerUnavailable:
        message = "Redis does not answer in time, nothing was done: try again"
        raise answers.unavailable(message) from None
    except EnvelopeTooLarge as error:
        raise Problem(413, str(error)) from None


@contextmanager
def naming_channel(*, in_path: bool = True) -> Iterator[None]:
    """Around what may refuse the channel that the path names, or else the body."""
    try:
        yield
    except BadChannel as error:
        hint = "; in a path, / and spaces are percent-encoded" if in_path else ""
        raise Problem(400, f"{error}{hint}") from None
    except (UnknownChannel, NotAvailable) as error:
        raise Problem(404, str(error)) from None
    except WorkerChannelLimit:
        message = "the worker of this connection has all the channels it may: try again"
        raise answers.unavailable(message) from None
    except ChannelLimit as error:
        raise Problem(429, str(error)) from None


@contextmanager
def right() -> Iterator[None]:
    """Around what says itself what was wrong with a parameter."""
    try:
        yield
    except ValueError as error:
        raise Problem(400, str(error)) from None


def user_of(target: str) -> str:
    if not target:
        raise Problem(400, "the path ends with the name of a user: /@users/NAME")
    return target


def closing_of(call: Call) -> tuple[int, str]:
    """The code and the reason of a close."""
    code = call.query.get("code", str(Disconnected.close_code))
    reason = call.query.get("reason", Disconnected.reason)
    with right():
        check_close(whole(code), reason)
    return int(code), reason


def text_of(call: Call) -> str:
    try:
        return call.body.decode()
    except UnicodeDecodeError as error:
        raise Problem(
            400,
            f"the body is not UTF-8: byte {error.start} cannot be read. It leaves as one text "
            "frame; encode what is binary, in base64 for instance",
        ) from None


def key_of(call: Call) -> str | None:
    for name in KEY_HEADERS:
        if (key := call.headers.get(name)) is not None:
            if not 1 <= len(key) <= MAX_KEY_LENGTH:
                message = f"the header {name} has {len(key)} characters, not 1 to {MAX_KEY_LENGTH}"
                raise Problem(400, message)
            return key
    return None


def limit_of(call: Call) -> int:
    """Of a page of a list."""
    return number_of(call, "limit", DEFAULT_PAGE, low=1, high=MAX_PAGE)


def number_of(call: Call, name: str, default: int, *, low: int, high: int) -> int:
    raw = call.query.get(name, str(default))
    if raw.isascii() and raw.isdecimal() and len(raw) <= 16 and low <= int(raw) <= high:
        return int(raw)
    raise Problem(400, f"{name}={raw} is not a whole number from {low} to {high}")


def switch_of(call: Call, name: str, default: str) -> bool:
    raw = call.query.get(name, default)
    if raw not in ("true", "false"):
        raise Problem(400, f"{name}={raw} is not true or false")
    return raw == "true"


def worker_of(call: Call) -> WorkerId | None:
    worker = call.query.get("worker")
    if worker is None:
        return None
    if not is_worker_id(worker):
        raise Problem(400, f"worker={worker} is not a worker's id: 16 of a-z and 0-9")
    return WorkerId(worker)


def whole(text: str) -> int:
    """A number of at most nine digits.

    Raises:
        ValueError: It is none.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)
