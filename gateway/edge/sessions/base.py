"""The seam between a connection and what is spoken on it.

The *connection* (``gateway.edge.connection``) has the socket, the outbox, the limits, expiry and
drain, and is what the hub, the dispatcher and the registry know. The *session* says what a message
of the client means, and in which words anything leaves. Neither does the other's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from gateway.edge.refusal import Refusal
from gateway.errors import ConnectionEnding, HandlerFailed
from gateway.messaging.hub import Done
from gateway.protocol.envelopes.dispatching import Presented
from gateway.protocol.hooks import HookKind, HookOutcome, HookRequest
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.run import Run


class Hooks(Protocol):
    """What a session may ask of the application's hooks. Nothing waits and nothing raises."""

    def there(self, kind: HookKind, name: str | None) -> bool | None:
        """Whether a hook decides on this, or on anything if ``name`` is None.

        Returns:
            None when nobody alive knows.
        """
        ...

    def ask(self, request: HookRequest, done: Callable[[HookOutcome], None]) -> None:
        """Ask a hook that is there, in order with what is dispatched.

        ``done`` is called once, perhaps within a call of ``dispatch`` or ``ask``; not at all if the
        connection closes before, and nothing is asked once it closes. The hook runs at least once:
        again, with the same id, when its worker dies, three times at most. A hook that fails, or
        that nobody comes to run, is ``Error`` 100, and what is more than it can be told 106.

        It counts against what the connection may have in flight, as messages do.
        """
        ...

    def tell_unsubscribed(self, channel: str, code: int, reason: str) -> None:
        """Have ``on_unsubscribe`` run, if the application has one for this channel.

        Also within ``Session.on_close``, for what was subscribed until then: it runs before
        ``on_disconnect``. At least once, unless this worker dies before it has run.

        Args:
            channel: Whose subscription has ended.
            code: 0 where the client wanted it, otherwise of the push, or of the close.
            reason: The same in words.
        """
        ...


class Recipient(Protocol):
    """Whom a channel's publications are sent to: an open connection, or one that is to be."""

    @property
    def id(self) -> ConnectionId: ...

    @property
    def user(self) -> str | None: ...

    def send_run(self, run: Run) -> None: ...


class EarlySubscriptions(Protocol):
    """Of a session: the application's channels before the handshake is answered."""

    def subscribe(self, connection: Recipient, channel: str, done: Done) -> None:
        """As ``Session.subscribe``."""
        ...

    def hand_over(self, connection: Recipient) -> None:
        """The handshake was accepted: publications are sent to ``connection`` from now on."""
        ...


class OpenConnection(Protocol):
    """What a session may do with its connection. Nothing waits and nothing raises."""

    @property
    def id(self) -> ConnectionId: ...

    @property
    def address(self) -> str:
        """Where its client is, as trusted proxies say."""
        ...

    @property
    def user(self) -> str | None:
        """Who it is, if the application or a token has said so."""
        ...

    def identify(self, user: str | None, presented: Presented) -> None:
        """It is this user, for everybody who asks from now on; handlers see what it presents.

        Closes it with 1009 if that is more than they can be told.
        """
        ...

    @property
    def reading(self) -> bool:
        """Its messages are read. Otherwise a pong may wait in the socket."""
        ...

    @property
    def admitted(self) -> bool:
        """The application has let it in, by a decision of its own."""
        ...

    def progressed(self) -> None:
        """``Session.full`` or ``Session.idle`` may have changed other than by a dispatch."""
        ...

    @property
    def wants_messages(self) -> bool:
        """The application has an ``on_message``, or nobody has said yet that it has none."""
        ...

    def dispatch(self, text: str, size_bytes: int) -> None:
        """Have ``text`` handled by the application's ``on_message``.

        It is answered once, by ``Session.reply`` or ``Session.failed``, and in the order of these
        calls; by neither if the connection closes before. What an older one is answered may come
        within this call. May be called several times for one message of the client; nothing is
        dispatched any more once the connection closes.

        Args:
            size_bytes: Of its UTF-8. It counts against the bytes in flight of the connection, at
                whose bound the socket is not read.
        """
        ...

    @property
    def hooks(self) -> Hooks:
        """What the application has a say in beyond messages."""
        ...

    def send(self, payload: bytes) -> None:
        """Send one text message, valid UTF-8. Those of one turn of the loop leave in one write.

        Nothing once the connection closes.
        """
        ...

    def send_run(self, run: Run) -> None:
        """Send the messages of a run, behind what was sent before; as ``send``."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Say ``Session.goodbye``, then begin the closing handshake, after everything sent.

        Nothing if it closes already. ``Session.on_close`` follows, with whichever code was first.

        Args:
            code: 1000, 1003, 1007 to 1011, or 3000 to 4999.
            reason: 1 to 123 UTF-8 bytes.
        """
        ...

    def end_with(self, ending: ConnectionEnding) -> None:
        """``close`` with the code and the reason of this error."""
        ...


class Session(Protocol):
    """What is spoken on one connection. No call may block or raise.

    The order: ``greeting`` once, before anything else, when the handshake is accepted; then the
    others in any order; ``on_close`` last, once, perhaps within a call of ``close``. A connection
    that is accepted only to be closed, as ``on_connect`` said, has no other call than ``on_close``,
    and one whose handshake came to nothing has none.

    Payloads are whole text messages, valid UTF-8. A session that keeps nothing may serve many
    connections: each call that acts is given its connection. One that keeps it lets go of it in
    ``on_close``: the two would keep each other until a garbage collection.

    Attributes:
        name: What the registry says is spoken; ``protocol`` in listings.
        farewell: The code and the reason that answer a close of the client's.
        pings: The socket asks whether its client is there (RFC 6455 section 5.5.2). Otherwise the
            session does.
        full: No message is read until ``OpenConnection.progressed`` finds this False.
        idle: All that was asked is answered, besides what was dispatched: it may be drained.
        received: How many messages of the client there were; None where each was dispatched.
        early: What subscribes before the handshake is answered; None where the client has to say
            something first, so that ``subscribe`` does it then.
    """

    @property
    def name(self) -> str: ...

    @property
    def farewell(self) -> tuple[int, str]: ...

    @property
    def pings(self) -> bool: ...

    @property
    def full(self) -> bool: ...

    @property
    def idle(self) -> bool: ...

    @property
    def received(self) -> int | None: ...

    @property
    def early(self) -> EarlySubscriptions | None: ...

    # What the client does

    def messages_in(self, text: str) -> int:
        """How many ``text`` counts as against the rate of messages."""
        ...

    def on_text(self, connection: OpenConnection, text: str, size_bytes: int) -> None:
        """A whole text message, within the connection's rate and size (bytes of UTF-8)."""
        ...

    def go_on(self) -> None:
        """There is room for what is left to be done of a message that asks for much.

        Called as often as there may be; nothing is done within the call.
        """
        ...

    def on_binary(self, connection: OpenConnection) -> None:
        """A whole binary message; its content is not kept."""
        ...

    def on_close(self, code: int, reason: str) -> None:
        """The connection has ended: the client's code or ours, or 1006. Nothing can be sent."""
        ...

    # Channels, as the application wants them

    def subscribe(self, connection: OpenConnection, channel: str, done: Done) -> None:
        """Subscribe it, at the application's wish; the client may have subscribed already.

        Args:
            done: Told once: WRITTEN when it is subscribed, GONE if it has unsubscribed or closed
                before; or why it is refused, BrokerUnavailable among the reasons.
        """
        ...

    def unsubscribe(self, connection: OpenConnection, channel: str, done: Done) -> None:
        """Unsubscribe it, at the application's wish. ``done``: WRITTEN, also if it was not."""
        ...

    # What leaves

    def greeting(self, connection: OpenConnection) -> bytes | None:
        """What is sent first, if anything."""
        ...

    def reply(self, text: str | None, *, handled_by: WorkerId, attempt: int) -> bytes | None:
        """The handler has answered the oldest unanswered dispatch, with nothing if it is None.

        Returns:
            What tells the client, if anything.
        """
        ...

    def failed(self, error: HandlerFailed) -> bytes | None:
        """The oldest unanswered dispatch has failed.

        Returns:
            What tells the client; None where there are no words for it, and the connection is
            closed with the error's code instead.
        """
        ...

    def push(self, text: str) -> bytes | None:
        """``text`` as it is sent out of turn. It may still not be taken, if too much waits.

        Returns:
            None: nothing can be sent out of turn yet.
        """
        ...

    def goodbye(self, code: int, reason: str) -> bytes | None:
        """The last message before the server's close with this code and reason, if any."""
        ...


# From the ASGI scope of a handshake, the session of a new connection and the subprotocol that is
# taken, one of those that were offered; None takes none. Or why there is none.
Negotiate = Callable[[Mapping[str, Any]], tuple[Session, str | None] | Refusal]
