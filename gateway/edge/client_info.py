"""Who is at the other end of a socket: what the handshake told, and what the application said.

A ``ClientInfo`` is where user, address and expiry of an open connection are. Made of it, here:

- ``ConnectionFacts``, for workers that handle its messages; they make the ``Connection`` of it that
  handlers see (``gateway.handlers.definitions.of_facts``);
- ``Entry``, for the registry: listings, users, and whoever sweeps after this worker
  (who makes ``ConnectionFacts`` of it again: ``Entry.facts``);
- ``Particulars``, for whoever asks the owner.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers

from gateway.handlers.dispatch_state import DispatchState
from gateway.protocol.envelopes.dispatching import Admitted, ConnectionFacts, Presented
from gateway.protocol.envelopes.requests_to_owners import Particulars
from gateway.protocol.envelopes.wire import MAX_ENVELOPE_BYTES
from gateway.protocol.token_claims import ConnectionClaims
from gateway.registry.base import Entry

NOTHING: Final = Presented()
# One envelope tells handlers all of a client. The rest is for the head of its handshake: 64 KiB,
# of which each byte may be two, and what is between.
MAX_PRESENTED_BYTES: Final = MAX_ENVELOPE_BYTES - (256 << 10)


class ClientInfo:
    """The client of one connection.

    Attributes:
        admitted: The application has let it in, by a decision of its own.
        query: Of its URL, as it came.
        user: Who it is, if the application or a token has said so.
        expires_unix_s: Until when it may stay, if one of them has said so.
        channels: What the application subscribes it to from the start.
    """

    __slots__ = (
        "_address", "_headers", "_query", "_since_unix_ms", "_subprotocols", "admitted",
        "channels", "expires_unix_s", "presented", "user",
    )  # fmt: skip

    def __init__(
        self, *, address: str, headers: Headers, query: str, subprotocols: tuple[str, ...]
    ) -> None:
        self._address = address
        self._headers = packed(headers)
        self._query = query
        self._subprotocols = subprotocols
        self._since_unix_ms = int(time.time() * 1000)
        self.admitted = False
        self.user: str | None = None
        self.expires_unix_s: float | None = None
        self.presented = NOTHING
        self.channels: tuple[str, ...] = ()

    def identify(self, claims: ConnectionClaims) -> None:
        """What a token says, before the application is asked."""
        self.become(claims.user or None, Presented(claims.info, claims.meta))
        self.expires_unix_s = claims.expires_at

    def become(self, user: str | None, presented: Presented) -> None:
        """It is this user, and shows that."""
        self.user = user
        self.presented = presented

    def admit(self, admitted: Admitted) -> None:
        """What the application says; where it says nothing, what a token has said stays."""
        self.admitted = True
        if admitted.user is not None:
            self.user = admitted.user
        if admitted.expires_unix_s is not None:
            self.expires_unix_s = admitted.expires_unix_s
        self.channels = tuple(dict.fromkeys(admitted.channels))  # each once

    @property
    def address(self) -> str:
        return self._address

    @property
    def query(self) -> str:
        return self._query

    @property
    def size_bytes(self) -> int:
        """About what its facts take wherever they are told."""
        return len(self._headers) + len(self._query) + sum(map(len, self.presented))

    @property
    def facts(self) -> ConnectionFacts:
        return ConnectionFacts(
            self.user,
            self._address,
            self._query,
            unpacked(self._headers),
            self._subprotocols,
            self.expires_unix_s,
            self.presented,
        )

    def entry(self, protocol: str) -> Entry:
        """What the registry says of it."""
        return Entry(self.user, self._address, self._agent, protocol, self._since_unix_ms)

    def particulars(
        self,
        dispatch_state: DispatchState,
        *,
        unread: int,
        received: int | None,
        idle_s: float,
        waiting_bytes: int,
        sent: int,
        ping_unanswered_s: float | None = None,
        channels: Collection[str] = (),
    ) -> Particulars:
        """What is told when somebody asks.

        Args:
            unread: So many of its numbers were no messages of the client's.
            received: How many messages it has sent, where its numbers do not tell.
            idle_s: So long ago something came or went.
        """
        conversation = dispatch_state.conversation
        last_active_unix_ms = max(int((time.time() - idle_s) * 1000), self._since_unix_ms)
        return Particulars(
            self._since_unix_ms,
            last_active_unix_ms,
            self.user,
            self._address,
            self._agent,
            waiting_bytes=waiting_bytes,
            received=conversation.last_number - unread if received is None else received,
            sent=sent,
            unanswered=len(conversation),
            handled_by=dispatch_state.introduced_to,
            ping_unanswered_ms=None if ping_unanswered_s is None else int(ping_unanswered_s * 1000),
            channels=tuple(sorted(channels)),
        )

    def late_s(self) -> float:
        """How long ago its time was over, by this host's clock; negative before."""
        return -math.inf if self.expires_unix_s is None else time.time() - self.expires_unix_s

    @property
    def _agent(self) -> str:
        return next((value for name, value in self.facts.headers if name == "user-agent"), "")


def packed(headers: Headers) -> bytes:
    """Headers in one piece. Each connection keeps its own for every worker it is introduced to, and
    as pairs of strings those of a browser are 3 KB.
    """
    return b"\n".join(b":".join(pair) for pair in headers.raw)


def unpacked(headers: bytes) -> tuple[tuple[str, str], ...]:
    """What ``packed`` was given, as text; a name has no colon, and neither has a line break."""
    lines = headers.decode("latin-1").split("\n") if headers else []
    return tuple((name, value) for name, _, value in (line.partition(":") for line in lines))
