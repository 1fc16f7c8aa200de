"""The client for code that waits: the asynchronous one, in a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

from gateway.application.batch_verbs import Result
from gateway.application.channel_verbs import PAGE
from gateway.application.presence_verbs import Member
from gateway.application.publications import History, Published
from gateway.backend_client.asynchronous import AsyncClient
from gateway.backend_client.parts import CLOSED, FORKED
from gateway.commands.definitions import Command
from gateway.errors import Disconnected, NotRunning
from gateway.handlers.definitions import Connection
from gateway.messaging.channel_survey import DEFAULT_LIMIT, SurveyedChannels
from gateway.presence.base import PresenceStats
from gateway.protocol.channel_position import Position
from gateway.protocol.receipt import Receipt, Sent

ANSWER_S: Final = 10.0  # far more than it takes, or a bug
CHANNELS_S: Final = 20.0  # the same, where a connection and the namespaces come first
ANSWERS_S: Final = 60.0  # the same, where the registry is asked, which has others before

STOP_S: Final = 5.0  # far more than it takes, or something holds the loop

_T = TypeVar("_T")


class Client:
    """What ``with gateway.client(url)`` gives. Safe to use from several threads."""

    def __init__(self, asynchronous: AsyncClient, thread: LoopThread) -> None:
        self._asynchronous = asynchronous
        self._thread = thread

    def send(self, connection: str, text: str, *, key: str | None = None) -> Receipt:
        """As ``Gateway.send``; blocks for 4 s at most.

        Raises:
            NotRunning: After the ``with`` block, or in a child process forked from within it.
        """
        return self._thread.call(
            lambda: self._asynchronous.send(connection, text, key=key), within_s=ANSWER_S
        )

    def disconnect(
        self,
        connection: str,
        code: int = Disconnected.close_code,
        reason: str = Disconnected.reason,
    ) -> Receipt:
        """As ``Gateway.disconnect``; blocks and raises as ``send`` does."""
        return self._thread.call(
            lambda: self._asynchronous.disconnect(connection, code, reason), within_s=ANSWER_S
        )

    def send_to_user(self, user: str, text: str, *, key: str | None = None) -> list[Sent]:
        """As ``Gateway.send_to_user``; blocks for about 9 s at most, and raises as ``send`` does.

        For as much longer as a user has more than 500 connections; and for 30 s more where many
        threads ask of this client at once.
        """
        return self._thread.call(
            lambda: self._asynchronous.send_to_user(user, text, key=key), within_s=ANSWERS_S
        )

    def disconnect_user(
        self,
        user: str,
        code: int = Disconnected.close_code,
        reason: str = Disconnected.reason,
    ) -> list[Sent]:
        """As ``Gateway.disconnect_user``; blocks and raises as ``send_to_user`` does."""
        return self._thread.call(
            lambda: self._asynchronous.disconnect_user(user, code, reason), within_s=ANSWERS_S
        )

    def connections(self, *, user: str) -> list[Connection]:
        """As ``Gateway.connections``; blocks for 5 s at most, and raises as ``send`` does.

        For 30 s more where many ask at once, as with ``send_to_user``.
        """
        return self._thread.call(
            lambda: self._asynchronous.connections(user=user), within_s=ANSWERS_S
        )

    def batch(self, commands: Sequence[Command]) -> list[Result]:
        """As ``Gateway.batch``; blocks for a minute at most.

        Raises:
            NotRunning: As of ``send``.
            BrokerUnavailable, ConfigError: As of ``publish``, if something is to be published.
        """
        return self._thread.call(lambda: self._asynchronous.batch(commands), within_s=ANSWERS_S)

    # Channels

    def publish(
        self,
        channel: str,
        data: Any,
        *,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        version: int = 0,
        history: bool = True,
    ) -> Published:
        """As ``Gateway.publish``; blocks for 10 s at most.

        Raises:
            NotRunning: As of ``send``.
            BrokerUnavailable: Also where no worker has told which channels keep a history.
            ConfigError: The workers are of a newer release, with options that this has not.
        """
        return self._call(
            lambda: self._asynchronous.publish(
                channel,
                data,
                tags=tags,
                idempotency_key=idempotency_key,
                version=version,
                history=history,
            )
        )

    def broadcast(
        self,
        channels: Sequence[str],
        data: Any,
        *,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        version: int = 0,
        history: bool = True,
    ) -> list[Published | Exception]:
        """As ``Gateway.broadcast``; blocks and raises as ``publish`` does."""
        return self._call(
            lambda: self._asynchronous.broadcast(
                channels,
                data,
                tags=tags,
                idempotency_key=idempotency_key,
                version=version,
                history=history,
            )
        )

    def subscribe(self, connection: str, channel: str) -> Receipt:
        """As ``Gateway.subscribe``; blocks and raises as ``publish`` does."""
        return self._call(lambda: self._asynchronous.subscribe(connection, channel))

    def unsubscribe(self, connection: str, channel: str) -> Receipt:
        """As ``Gateway.unsubscribe``; blocks and raises as ``publish`` does."""
        return self._call(lambda: self._asynchronous.unsubscribe(connection, channel))

    def history(
        self,
        channel: str,
        *,
        limit: int = PAGE,
        since: Position | None = None,
        reverse: bool = False,
    ) -> History:
        """As ``Gateway.history``; blocks and raises as ``publish`` does."""
        return self._call(
            lambda: self._asynchronous.history(channel, limit=limit, since=since, reverse=reverse)
        )

    def remove_history(self, channel: str) -> None:
        """As ``Gateway.remove_history``; blocks and raises as ``publish`` does."""
        self._call(lambda: self._asynchronous.remove_history(channel))

    def presence(self, channel: str) -> Mapping[str, Member]:
        """As ``Gateway.presence``; blocks and raises as ``publish`` does."""
        return self._call(lambda: self._asynchronous.presence(channel))

    def presence_stats(self, channel: str) -> PresenceStats:
        """As ``Gateway.presence_stats``; blocks and raises as ``publish`` does."""
        return self._call(lambda: self._asynchronous.presence_stats(channel))

    def channels(
        self, pattern: str = "*", *, after: str = "", limit: int = DEFAULT_LIMIT
    ) -> SurveyedChannels:
        """As ``Gateway.channels``; blocks for 8 s at most, and raises as ``send`` does.

        For 30 s more where many ask at once, as with ``send_to_user``.
        """
        return self._thread.call(
            lambda: self._asynchronous.channels(pattern, after=after, limit=limit),
            within_s=ANSWERS_S,
        )

    def _call(self, ask: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        return self._thread.call(ask, within_s=CHANNELS_S)


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._stopped = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="gateway client", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    @property
    def usable(self) -> bool:
        """False once stopped, and in a forked child, which has no such thread."""
        return not self._stopped and os.getpid() == self._pid

    def call(self, ask: Callable[[], Coroutine[Any, Any, _T]], *, within_s: float) -> _T:
        """Run a coroutine over there, and wait for it.

        Raises:
            NotRunning: Nobody is there to run it, or the client was closed meanwhile.
        """
        if os.getpid() != self._pid:
            raise NotRunning(FORKED)  # before the lock: a fork may have copied it locked
        with self._lock:
            if self._stopped:
                raise NotRunning(CLOSED)
            asked = asyncio.run_coroutine_threadsafe(ask(), self._loop)
        try:
            return asked.result(within_s)
        except concurrent.futures.CancelledError:
            raise NotRunning(CLOSED) from None

    def stop(self) -> None:
        """Whoever waits for an answer is told that the client has ended.

        Blocks for ``STOP_S`` at most. What holds the loop for longer, or takes no cancellation, is
        left to the thread: it ends after that, or with the process.
        """
        with self._lock:
            self._stopped = True  # whatever was asked is over there by now, and is cancelled
        asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        self._thread.join(STOP_S)

    async def _end(self) -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        self._loop.stop()
