"""Who is in channels at this worker, as their sessions say it; and their joins and leaves, told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.channels.presence_members import Member
from gateway.channels.presence_waits import nothing_to_wait_for
from gateway.channels.stored_presence import StoredPresence
from gateway.protocol.channel_messages import ClientInfo, MessageKind, encode, message
from gateway.settings.namespaces import ChannelOptions


class ChannelPresence:
    """Who is in channels at this worker.

    For one client in one channel the calls come in this order: ``enter``, once that is done and the
    subscribe reply given ``joined``, and in the end ``leave``, also where ``enter`` has failed.

    Args:
        stored: Brings it to the store, and so to all workers.
        options_of: The options of a channel; its name was checked.
        tell: Publishes a join or leave in a channel (``ChannelBroker.tell``).
    """

    def __init__(
        self,
        stored: StoredPresence,
        *,
        options_of: Callable[[str], ChannelOptions],
        tell: Callable[[str, bytes], object],
    ) -> None:
        self._stored = stored
        self._known = stored.members
        self._options_of = options_of
        self._tell = tell
        self._members = 0

    def __len__(self) -> int:
        """How many members this worker has in channels with presence."""
        return self._members

    def enter(
        self, channel: str, info: ClientInfo, options: ChannelOptions | None = None
    ) -> asyncio.Future[None]:
        """A client is about to be subscribed, or has another info. Done once all others may see it.

        Args:
            options: For this client, where they are not those of the namespace.

        At once where presence is not kept. Fails with BrokerUnavailable if it is not
        written within ``REDIS_DEADLINE_S``; it will be later, unless it leaves. Cancelling changes
        nothing.
        """
        member = self._known.find(channel, info.client)
        if member is None:
            options = options or self._options_of(channel)
            if not options.presence and not options.join_leave:
                return nothing_to_wait_for()
            member = Member(info, kept=options.presence, told=options.join_leave)
            self._known.add((channel, info.client), member)
            self._members += member.kept
        elif not member.here:
            member.here = True
            member.told = (options or self._options_of(channel)).join_leave  # it may be a stray
            self._members += member.kept
        member.info = info
        return self._stored.change((channel, info.client), member)

    def joined(self, channel: str, client: str) -> None:
        """It has its subscribe reply: its join is told where the namespace says so, once."""
        member = self._known.find(channel, client)
        if member is None or not member.here or member.joined:
            return
        if member.told:
            member.joined = True
            self._tell(channel, message(MessageKind.JOIN, encode(member.info)))

    def leave(self, channel: str, client: str) -> asyncio.Future[None]:
        """It is no longer subscribed, or its socket is closed. Done once nobody sees it any more.

        Its leave is told then, if its join was. Fails like ``enter``; the leave is told all the
        same. Who never entered leaves at once.
        """
        member = self._known.find(channel, client)
        if member is None or not member.here:
            return nothing_to_wait_for()
        member.here = False
        self._members -= member.kept
        left = self._stored.change((channel, client), member)
        if member.joined:
            member.joined = False
            leave = message(MessageKind.LEAVE, encode(member.info))
            if left.done():
                self._tell(channel, leave)
            else:
                left.add_done_callback(lambda _: self._tell(channel, leave))
        return left
