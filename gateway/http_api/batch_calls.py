"""The connection API's calls that do many things at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from gateway.channel_broker.base import Stored
from gateway.channels.publisher import Publisher
from gateway.commands import batch
from gateway.commands.definitions import Broadcast, Command, Disconnect, Publish, Unsubscribe
from gateway.http_api import answers
from gateway.http_api.answers import RETRY_AFTER_S, Json, Problem
from gateway.http_api.call import checking, naming_channel
from gateway.http_api.commands import VERBS
from gateway.http_api.publishing import published, publishing
from gateway.log import get_logger
from gateway.messaging.requests_to_users import RequestsToUsers
from gateway.protocol.receipt import Receipt

log = get_logger(__name__)

UNREADABLE: Final = "unreadable"  # in place of the verb
_VERB_OF: Final = {kind: verb for verb, kind in VERBS.items()}


class BatchCalls:
    """What ``gateway.commands.batch`` does, in the words of the API.

    Args:
        count: Told the verb and the status of what became of each command, of a broadcast of what
            became of it in each channel.
    """

    def __init__(
        self,
        publisher: Publisher,
        requests: RequestsToUsers,
        *,
        count: Callable[[str, int], None],
    ) -> None:
        self._publisher = publisher
        self._requests = requests
        self._count = count

    async def broadcast(self, broadcast: Broadcast) -> Json:
        """What became of it in each channel.

        Raises:
            Problem: All have failed, and with the same status; or nothing could be tried.
        """
        [done] = await self._done([broadcast])
        if isinstance(done, Exception):
            raise _problem(broadcast, done)
        return together(self._of_each(broadcast, done))

    async def run(self, commands: Sequence[Command | Problem]) -> Json:
        """What became of each command, as the single call would tell it.

        Raises:
            Problem: All have failed, and with the same status.
        """
        done = await self._done(commands)
        return together([self._result(*each) for each in zip(commands, done, strict=True)])

    async def _done(self, commands: Sequence[Command | Problem]) -> list[batch.Done | Exception]:
        return await batch.run(commands, publisher=self._publisher, requests=self._requests)

    def _result(self, command: Command | Problem, done: batch.Done | Exception) -> Json:
        if isinstance(command, Broadcast) and not isinstance(done, Exception):
            try:
                return {"status": 200, **together(self._of_each(command, done))}
            except Problem as problem:
                return problem.result
        verb = UNREADABLE if isinstance(command, Problem) else _VERB_OF[type(command)]
        return self._counted(verb, _result(command, done))

    def _of_each(self, broadcast: Broadcast, done: batch.Done) -> list[Json]:
        """In each channel."""
        assert isinstance(done, list)
        return [self._counted("broadcast", _result(broadcast, each)) for each in done]

    def _counted(self, verb: str, result: Json) -> Json:
        self._count(verb, result["status"])
        return result


def together(results: list[Json]) -> Json:
    """The answer that has these results.

    Raises:
        Problem: All have failed, and with the same status, which is then that of the answer.
    """
    first = results[0]
    status = first["status"]
    if status < 400 or any(each["status"] != status for each in results):
        return {"results": results}
    message = f"all {len(results)} have failed; the first: {first['message']}"
    headers = {"retry-after": str(RETRY_AFTER_S)} if status == 503 else {}
    raise Problem(status, message, kind=first["error"], headers=headers, more={"results": results})


def _result(command: Command | Problem, done: object) -> Json:
    """As the single call would tell it."""
    try:
        match done:
            case Exception():
                raise _problem(command, done)
            case Stored():
                return {"status": 200, **published(done)}
            case Receipt():
                answers.check(done)
                closes = isinstance(command, Disconnect | Unsubscribe)
                return {"status": 204} if closes else {"status": 200, **answers.WRITTEN}
            case _:
                assert isinstance(done, list)
                return {"status": 200, **answers.counts(done)}
    except Problem as problem:
        return problem.result


def _problem(command: Command | Problem, error: Exception) -> Problem:
    """What one of many has failed with. A fault of ours does not take the others."""
    try:
        with publishing(in_path=False) if isinstance(command, Publish | Broadcast) else _asking():
            raise error  # noqa: TRY301 (to be told apart by what is around it)
    except Problem as problem:
        return problem
    except Exception:
        log.exception("command failed")
        return Problem(500, "this worker failed at it, and its log says why; it may have been done")


@contextmanager
def _asking() -> Iterator[None]:
    with checking(), naming_channel(in_path=False):
        yield
