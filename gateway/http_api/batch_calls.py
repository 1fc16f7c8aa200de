"""The connection API's calls that do many things at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypedDict, assert_never

from gateway.channel_broker.base import Stored
from gateway.channels.publisher import Publisher
from gateway.http_api.answers import RETRY_AFTER_S, Json, Problem
from gateway.http_api.calls import Calls
from gateway.http_api.commands import (
    VERBS,
    Broadcast,
    Command,
    Disconnect,
    DisconnectUser,
    Publish,
    Send,
    SendToUser,
    Subscribe,
    Unsubscribe,
)
from gateway.http_api.publishing import published, publishing
from gateway.log import get_logger

log = get_logger(__name__)

UNREADABLE: Final = "unreadable"  # in place of the verb
_VERB_OF: Final = {kind: verb for verb, kind in VERBS.items()}

_Begun = Sequence[asyncio.Future[Any]]


class _Options(TypedDict):
    tags: Mapping[str, str]
    idempotency_key: str
    version: int
    skip_history: bool


class BatchCalls:
    """Begins all that is asked for in order, and then waits for all of it.

    What is published is given to the broker in one turn of the loop: it leaves in one pipeline.

    Args:
        count: Told the verb and the status of what became of each command, of a broadcast of what
            became of it in each channel.
    """

    def __init__(
        self, calls: Calls, publisher: Publisher, *, count: Callable[[str, int], None]
    ) -> None:
        self._calls = calls
        self._publisher = publisher
        self._count = count

    async def broadcast(self, broadcast: Broadcast) -> Json:
        """What became of it in each channel.

        Raises:
            Problem: All have failed, and with the same status; or nothing could be tried.
        """
        with publishing(in_path=False):
            begun = self._publish(broadcast)
        await asyncio.gather(*begun, return_exceptions=True)
        return together(self._counted("broadcast", [_published(each) for each in begun]))

    async def run(self, commands: Sequence[Command | Problem]) -> Json:
        """What became of each command, as the single call would tell it.

        Raises:
            Problem: All have failed, and with the same status.
        """
        begun = [self._begin(each) for each in commands]
        waited_for = [each for some in begun if not isinstance(some, Problem) for each in some]
        await asyncio.gather(*waited_for, return_exceptions=True)
        return together(
            [self._result(command, some) for command, some in zip(commands, begun, strict=True)]
        )

    def _result(self, command: Command | Problem, begun: _Begun | Problem) -> Json:
        if isinstance(command, Broadcast) and not isinstance(begun, Problem):
            results = self._counted("broadcast", [_published(each) for each in begun])
            try:
                return {"status": 200, **together(results)}
            except Problem as problem:
                return problem.result
        verb = UNREADABLE if isinstance(command, Problem) else _VERB_OF[type(command)]
        [result] = self._counted(verb, [_result(command, begun)])
        return result

    def _counted(self, verb: str, results: list[Json]) -> list[Json]:
        for result in results:
            self._count(verb, result["status"])
        return results

    def _begin(self, command: Command | Problem) -> _Begun | Problem:
        if isinstance(command, Problem):
            return command
        if isinstance(command, Publish | Broadcast):
            try:
                return self._publish(command)
            except Exception as error:
                return _refused(error)
        return [asyncio.ensure_future(self._do(command))]

    def _publish(self, publication: Publish | Broadcast) -> Sequence[asyncio.Future[Stored]]:
        data, key = bytes(publication.data), publication.idempotency_key or ""
        options: _Options = {
            "tags": publication.tags,
            "idempotency_key": key,
            "version": publication.version,
            "skip_history": not publication.history,
        }
        if isinstance(publication, Publish):
            return [self._publisher.publish(publication.channel, data, **options)]
        return self._publisher.broadcast(publication.channels, data, **options)

    async def _do(
        self, command: Send | SendToUser | Disconnect | DisconnectUser | Subscribe | Unsubscribe
    ) -> Json:
        calls = self._calls
        match command:
            case Send(connection=connection, text=text, idempotency_key=key):
                return await calls.sent(connection, text, key)
            case SendToUser(user=user, text=text, idempotency_key=key):
                return await calls.sent_to_user(user, text, key)
            case Disconnect(connection=connection, code=code, reason=reason):
                await calls.disconnected(connection, code, reason)
            case DisconnectUser(user=user, code=code, reason=reason):
                return await calls.disconnected_user(user, code, reason)
            case Subscribe(connection=connection, channel=channel):
                return await calls.subscribed(connection, channel, in_path=False)
            case Unsubscribe(connection=connection, channel=channel):
                await calls.unsubscribed(connection, channel, in_path=False)
            case _:
                assert_never(command)
        return {"status": 204}


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


def _result(command: Command | Problem, begun: _Begun | Problem) -> Json:
    if isinstance(begun, Problem):
        return begun.result
    try:
        [one] = begun
        if isinstance(command, Publish):
            return _published(one)
        return {"status": 200, **one.result()}
    except Exception as error:
        return _refused(error).result


def _published(stored: asyncio.Future[Stored]) -> Json:
    error = stored.exception()
    return _refused(error).result if error else {"status": 200, **published(stored.result())}


def _refused(error: BaseException) -> Problem:
    """What one of many has failed with. A fault of ours does not take the others."""
    try:
        with publishing(in_path=False):
            raise error  # noqa: TRY301 (to be told apart by what is around it)
    except Problem as problem:
        return problem
    except Exception:
        log.exception("command failed")
        return Problem(500, "this worker failed at it, and its log says why; it may have been done")
