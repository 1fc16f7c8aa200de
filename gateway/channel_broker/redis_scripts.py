"""The scripts of channels: what they are told, and what they answer. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final

from gateway.channel_broker.base import IDEMPOTENCY_S, HistoryOptions, Publishing, Stored
from gateway.channel_broker.epoch import new_epoch
from gateway.protocol.channel_messages import UNPLACED
from gateway.protocol.channel_position import Position
from gateway.protocol.recovery import Publication
from gateway.redis_support import keys
from gateway.redis_support.client import script
from gateway.redis_support.node import Node
from gateway.redis_support.writing import LONG_BYTES, Command

PUBLISH: Final = "channel_publish"
READ: Final = "channel_read"
LONGEST_MS: Final = 100 * 365 * 86_400_000  # PEXPIRE refuses what ends beyond 64 bits
HIGHEST: Final = (1 << 63) - 1  # of what a client may name; ids of a stream have 64 bits
NAMES_REMEMBERED: Final = 1000
OVERHEAD_BYTES: Final = 300  # of a command, besides names and body


def publishing_size(publishing: Publishing) -> int:
    """About as many bytes as it takes on its way."""
    return len(publishing.body) + 4 * len(publishing.channel) + OVERHEAD_BYTES


def joins(first: Publishing, publishing: Publishing) -> bool:
    """Whether it can go with the command of one that was published before it.

    Both are kept, as one another, and have nothing that each would be asked about alone.
    """
    return (
        first.history is not None
        and first.channel == publishing.channel
        and first.history == publishing.history
        and not (first.version or publishing.version)
        and not (first.idempotency_key or publishing.idempotency_key)
        and len(first.body) < LONG_BYTES > len(publishing.body)
    )


class ChannelScripts:
    """Commands for one server.

    Attributes:
        server: The run id of the server that commands go to now; behind it, with spaces, those of
            servers from which channels may come with all that they have.
        channel: The name of a channel in pub/sub.
    """

    def __init__(self, prefix: str, node: Node, *, publish_verb: str = "PUBLISH") -> None:
        self.server = ""
        self.publish_verb = publish_verb
        self.channel: Callable[[str], str]  # remembers: this is for every publication
        self.channel = lru_cache(NAMES_REMEMBERED)(partial(keys.channel_messages, prefix))
        self._prefix = prefix
        self._node = node
        beginning = script("channel_epoch")
        self._texts = {
            name: beginning + script(name).replace("'PUBLISH'", f"'{publish_verb}'")
            for name in (PUBLISH, READ)
        }
        self._shas = {
            name: hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 (how Redis names scripts)
            for name, text in self._texts.items()
        }

    def load(self, name: str) -> Command:
        """The command that makes a script known."""
        return ("SCRIPT", "LOAD", self._texts[name])

    def publish(self, *publishings: Publishing) -> Command:
        """EVALSHA where something is to be remembered, else PUBLISH.

        Args:
            publishings: One; or several in order, each of which ``joins`` the first.
        """
        channel, body, history, key, version, version_epoch = publishings[0]
        to = self.channel(channel)
        if history is None:
            if not key:
                return (self.publish_verb, to, UNPLACED + body)
            history = HistoryOptions(0, 0, 0)
        names = [keys.history(self._prefix, channel), keys.history_meta(self._prefix, channel)]
        if key:
            names.append(keys.history_answer(self._prefix, channel, key))
        return (
            "EVALSHA", self._shas[PUBLISH], len(names), *names,
            to, history.size, _ms(history.ttl_s), _ms(history.meta_ttl_s),
            new_epoch(), self.server, version, version_epoch, _ms(IDEMPOTENCY_S) if key else 0,
            *[publishing.body for publishing in publishings],
        )  # fmt: skip

    def stored(self, reply: Any, channel: str, count: int = 1) -> list[Stored]:
        """What ``channel_publish`` answers, for each. Raises ValueError for anything else.

        Args:
            count: So many went with the command.
        """
        match reply:
            case [bytes() as epoch, int() as offset, int() as suppressed, int() as removed]:
                self._tell(removed, channel)
                if not epoch:
                    return [Stored(None, bool(suppressed))] * count
                name = epoch.decode()
                return [
                    Stored(Position(name, offset + place), bool(suppressed))
                    for place in range(count)
                ]
        raise ValueError(f"a {type(reply).__name__} instead of a position")

    def read(
        self,
        channel: str,
        history: HistoryOptions,
        *,
        limit: int,
        low: int = 1,
        high: int = HIGHEST,
        epoch: str = "",
        reverse: bool = False,
    ) -> Command:
        """Publications from ``low`` to ``high``, both included."""
        count = limit if low <= high else 0
        return (
            "EVALSHA", self._shas[READ], 2,
            keys.history(self._prefix, channel), keys.history_meta(self._prefix, channel),
            f"{min(low, HIGHEST)}-0", f"{min(high, HIGHEST)}-0", count, int(reverse), epoch,
            _ms(history.meta_ttl_s), new_epoch(), self.server,
        )  # fmt: skip

    def found(self, reply: Any, channel: str) -> tuple[Position, list[Publication]]:
        """What ``channel_read`` answers. Raises ValueError for anything else.

        Entries that no script of ours has written are passed over.
        """
        match reply:
            case [bytes() as epoch, int() as offset, [*entries], int() as removed]:
                self._tell(removed, channel)
                found = [one for entry in entries if (one := self._entry(entry, offset, channel))]
                return Position(epoch.decode(), offset), found
        raise ValueError(f"a {type(reply).__name__} instead of a history")

    def remove(self, channel: str) -> Command:
        return ("DEL", keys.history(self._prefix, channel))

    def _entry(self, entry: Any, top: int, channel: str) -> Publication | None:
        match entry:
            case [bytes() as identifier, [b"b", bytes() as body]]:
                offset, dash, rest = identifier.partition(b"-")
                if dash and rest == b"0" and 0 < int(offset) <= top:
                    return Publication(int(offset), body)
        self._node.garbage("an entry", keys.history(self._prefix, channel))
        return None

    def _tell(self, removed: int, channel: str) -> None:
        if removed:
            self._node.garbage("another type, removed", keys.history(self._prefix, channel))


def _ms(seconds: float) -> int:
    return max(1, min(int(seconds * 1000), LONGEST_MS))
