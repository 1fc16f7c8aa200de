"""What an application asks for together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Any, Final, get_args

import msgspec

from gateway import arguments
from gateway.application.publications import Published, published
from gateway.channel_broker.base import Stored
from gateway.channels.publisher import Publisher
from gateway.commands import batch
from gateway.commands.definitions import Broadcast, Command, Publish
from gateway.messaging.requests_to_users import RequestsToUsers
from gateway.protocol.json_values import json_of
from gateway.protocol.receipt import Receipt, Sent

Result = Published | list[Published | Exception] | Receipt | list[Sent] | Exception

_KINDS: Final = get_args(Command)


class BatchVerbs(ABC):
    """The verb that does what several others do."""

    @property
    @abstractmethod
    def _requests_of_batches(self) -> RequestsToUsers:
        """What reaches connections and users. Raises NotRunning where nothing does."""

    @abstractmethod
    async def _publisher(self) -> Publisher:
        """What publishes. Raises NotRunning where nothing does."""

    async def batch(self, commands: Sequence[Command]) -> list[Result]:
        """Do several things with one call: publish, send, disconnect, subscribe.

        All are begun in order, and none waits for another: what is published to one channel and
        what is sent to one connection arrives in order. What is done to a user comes once their
        connections are known; what is to come after that, after a ``Subscribe`` has ended, or after
        a failure, belongs into a call of its own. What is published leaves in one round trip to the
        broker. Cancelling takes nothing back.

        Args:
            commands: Of ``gateway.commands``, each named as the verb that does it alone, with its
                arguments. At most 1000, where a ``Broadcast`` counts once for each channel, and
                4 MiB to be published, counted the same way.

        Returns:
            For each command, in order, what its verb would return; or the error that it would
            raise. One that fails stops no other. A GatewayError: it alone was broken off, and may
            have been done.

        Raises:
            TypeError: The commands are no list, or one of them is no command. Here and below
                nothing was done.
            ValueError: There are too many.
            BrokerUnavailable: Of a client, something is to be published, and no worker has told
                which channels keep a history.
            NotRunning: Of a ``Gateway`` outside of its lifespan.
        """
        asked = [_with_json(each) for each in _checked(commands)]
        batch.check_bounds(asked)
        requests = self._requests_of_batches
        publishes = any(isinstance(each, Publish | Broadcast) for each in asked)
        publisher = await self._publisher() if publishes else None
        done = await batch.run(asked, publisher=publisher, requests=requests)
        return [_told(each) for each in done]


def _checked(commands: object) -> Sequence[Command]:
    if not isinstance(commands, list | tuple):
        arguments.instance("commands", commands, list, "a list of gateway.commands")
    given: Sequence[Command] = commands  # type: ignore[assignment]  # checked one by one below
    for at, each in enumerate(given):
        if not isinstance(each, _KINDS):
            arguments.instance(f"commands[{at}]", each, Publish, "one of gateway.commands")
    return given


def _with_json(command: Command) -> Command | Exception:
    """The command, its data as JSON; or why that cannot be."""
    if not isinstance(command, Publish | Broadcast):
        return command
    try:
        said = json_of("data", command.data)
    except (TypeError, ValueError) as error:
        return error
    told = copy(command)  # ``replace`` would check its arguments once more
    msgspec.structs.force_setattr(told, "data", msgspec.Raw(said))
    return told


def _told(done: batch.Done | Exception) -> Result:
    if isinstance(done, Stored):
        return published(done)
    if isinstance(done, list):
        each: list[Any] = [published(one) if isinstance(one, Stored) else one for one in done]
        return each
    return done
