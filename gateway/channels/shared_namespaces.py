"""The options of channels, told to processes that are no workers, and read there.

They publish with the history that the workers keep: without knowing it they publish nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from gateway.channel_broker.base import ChannelBroker
from gateway.errors import BrokerUnavailable, ConfigError
from gateway.log import get_logger
from gateway.settings.namespaces import ChannelOptions, Namespaces, parse

log = get_logger(__name__)

EVERY_S: Final = 10.0
RETRY_S: Final = 0.5
LOOK_S: Final = 0.1
WAIT_S: Final = 2.0
OLD_S: Final = 0.5  # that others are waited for while there are old ones


async def keep_shared(broker: ChannelBroker, namespaces: Namespaces) -> None:
    """Tell them, also to a broker that has forgotten them, until cancelled."""
    said = namespaces.as_json()
    starting = True
    while True:
        try:
            await broker.share_namespaces(said, starting=starting)
            starting = False
        except BrokerUnavailable as error:
            log.debug("namespaces not shared", error=str(error))
            await asyncio.sleep(RETRY_S)
        else:
            await asyncio.sleep(EVERY_S)


class SharedNamespaces:
    """What the workers have told, at most ``EVERY_S`` old. Make it inside the event loop.

    While the broker does not say them, the old ones count: in a Cluster the master that has them
    may be away, and those that have the channels may not.
    """

    def __init__(self, broker: ChannelBroker, now: Callable[[], float] = time.monotonic) -> None:
        self._broker = broker
        self._now = now
        self._said: str | None = None
        self._namespaces: Namespaces | None = None
        self._good_until = 0.0
        self._reading = asyncio.Lock()

    def options_of(self, channel: str) -> ChannelOptions:
        """Once ``refresh`` is done.

        Raises:
            BadChannel, UnknownChannel: As ``Namespaces.options_of``.
        """
        assert self._namespaces is not None
        return self._namespaces.options_of(channel)

    async def refresh(self) -> None:
        """Read them, if they are not known yet or may be old.

        Raises:
            BrokerUnavailable: Nobody knows them: the broker is away, or no worker has told any.
            ConfigError: A worker of a newer release has told what this one does not know.
        """
        async with self._reading:
            if self._namespaces is None:
                await self._read()
            elif self._now() >= self._good_until:
                with suppress(BrokerUnavailable, TimeoutError):
                    async with asyncio.timeout(OLD_S):
                        await self._read()
            else:
                return
            self._good_until = self._now() + EVERY_S

    async def _read(self) -> None:
        said = await self._broker.shared_namespaces()
        looks = int(WAIT_S / LOOK_S)
        while said is None and self._namespaces is None and looks:
            # A worker has just started; or the broker, and is told again soon.
            await asyncio.sleep(LOOK_S)
            said = await self._broker.shared_namespaces()
            looks -= 1
        if said is None and self._namespaces is None:
            raise BrokerUnavailable(
                "no worker has told which channels keep a history: is one of this release running "
                "with this Redis and this prefix?"
            )
        if said is not None and said != self._said:
            try:
                self._namespaces = parse("channel", said)
            except ConfigError as error:
                raise ConfigError(
                    f"the workers have channels that this release does not know: {error}"
                ) from None
            self._said = said
