"""What an application does to connections and users, from within a worker and from elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod

from gateway import arguments
from gateway.commands import batch
from gateway.commands.definitions import Disconnect, DisconnectUser, Send, SendToUser
from gateway.errors import Disconnected
from gateway.handlers.definitions import Connection, of_entries
from gateway.messaging.requests_to_users import RequestsToUsers
from gateway.protocol.receipt import Receipt, Sent


class Verbs(ABC):
    """The verbs of a ``Gateway`` and of what ``async with gateway.client(...)`` gives."""

    @property
    @abstractmethod
    def _requests(self) -> RequestsToUsers:
        """What carries them out. Raises NotRunning where nothing does."""

    async def send(self, connection: str, text: str, *, key: str | None = None) -> Receipt:
        """Send a text to one connection, whichever worker holds it, and learn what became of it.

        It leaves as one frame, after what this task has sent to the connection before and before
        what it sends afterwards, the answer of a handler included. The receipt comes at once, or
        within 2 s; for an owner that this worker does not know yet, within 4 s. The gateway does
        not send again by itself. Cancelling the call takes nothing back.

        A connection that ``on_connect`` has not let in yet is UNREACHABLE: nothing was written.

        Args:
            connection: ``Connection.id``, of any worker. What has not that form is GONE.
            text: At most about a megabyte.
            key: Names this send: with the same key the same text is written once in a minute, so
                that a send that was UNREACHABLE may be repeated.

        Raises:
            NotRunning: Of a ``Gateway`` outside of its lifespan. Elsewhere, use ``gateway.client``.
            TypeError: The text is no ``str``.
            EnvelopeTooLarge: The text is over the bound.
            UnicodeEncodeError: The text has a lone surrogate.
            ValueError: The key is empty.
        """
        command = Send(connection, text, key=key)
        return await batch.to_connection(self._requests, command)

    async def disconnect(
        self,
        connection: str,
        code: int = Disconnected.close_code,
        reason: str = Disconnected.reason,
    ) -> Receipt:
        """Close one connection, whichever worker holds it, after what was sent to it before.

        Args:
            connection: ``Connection.id``, of any worker.
            code: 1000, or 3000 to 4999: after 3000-3499 and 4000-4499 clients come back, after
                3500-3999 and 4500-4999 they stay away.
            reason: 1 to 123 UTF-8 bytes.

        Returns:
            WRITTEN (the close frame is under way), GONE or UNREACHABLE.

        Raises:
            NotRunning: Of a ``Gateway`` outside of its lifespan. Elsewhere, use ``gateway.client``.
            ValueError: The code or the reason cannot be sent.
        """
        command = Disconnect(connection, code, reason)
        return await batch.to_connection(self._requests, command)

    async def send_to_user(self, user: str, text: str, *, key: str | None = None) -> list[Sent]:
        """Send a text to every connection of a user, whichever workers hold them.

        Within an ``on_message`` handler the connection that is being answered is one of them.
        Cancelling the call takes nothing back.

        Args:
            user: As ``on_connect`` has named them.
            text: As in ``send``.
            key: As in ``send``, for each connection by itself: the whole call may be repeated.

        Returns:
            Each connection with its receipt, as ``send`` gives it; none if the user has none.

        Raises:
            BrokerUnavailable: Nobody can know the connections now. Nothing was sent.
            NotRunning, TypeError, EnvelopeTooLarge, UnicodeEncodeError, ValueError: As of ``send``.
        """
        command = SendToUser(user, text, key=key)
        return await batch.to_user(self._requests, command)

    async def disconnect_user(
        self,
        user: str,
        code: int = Disconnected.close_code,
        reason: str = Disconnected.reason,
    ) -> list[Sent]:
        """Close every connection of a user, after what was sent to it before.

        Returns:
            Each connection with its receipt, as ``disconnect`` gives it.

        Raises:
            BrokerUnavailable: Nobody can know the connections now. Nothing was closed.
            NotRunning, ValueError: As of ``disconnect``.
        """
        command = DisconnectUser(user, code, reason)
        return await batch.to_user(self._requests, command)

    async def connections(self, *, user: str) -> list[Connection]:
        """The connections of a user, those of each worker together, the oldest first.

        As the registry has them: without query and subprotocols, and of the headers the user agent
        only. One that ends meanwhile may be among them, and one that comes meanwhile may not.

        Raises:
            BrokerUnavailable: Nobody can know now.
            NotRunning: As of ``send``.
        """
        user = arguments.text("user", user)
        return of_entries(await self._requests.connections(user))
