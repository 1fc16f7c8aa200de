"""What a channel's name says: its namespace, that it is private, for which users it is.

``$`` begins a private channel, which only a token opens. The namespace goes up to the first ``:``.
What follows the last ``#`` are the users it is limited to. Pure.
"""

from __future__ import annotations

from typing import Final

from gateway.errors import BadChannel

MAX_CHANNEL_BYTES: Final = 255
MAX_CHANNELS_PER_CONNECTION: Final = 128
PRIVATE: Final = "$"


def check(channel: str) -> None:
    """Whether anything may be called that: 1 to 255 bytes of printable ASCII.

    Raises:
        BadChannel: Says what would be right.
    """
    if not 1 <= len(channel) <= MAX_CHANNEL_BYTES:
        raise BadChannel(f"a channel's name is 1 to {MAX_CHANNEL_BYTES} bytes, not {len(channel)}")
    if not (channel.isascii() and channel.isprintable()):
        raise BadChannel("a channel's name is printable ASCII")


def namespace_of(channel: str) -> str:
    """The name of its namespace; empty if it is in none."""
    namespace, colon, _ = channel.removeprefix(PRIVATE).partition(":")
    return namespace if colon else ""


def is_private(channel: str) -> bool:
    return channel.startswith(PRIVATE)


def users_of(channel: str) -> tuple[str, ...] | None:
    """The users to whom the channel is limited; None if it is to nobody."""
    _, limited, users = channel.rpartition("#")
    return tuple(users.split(",")) if limited else None
