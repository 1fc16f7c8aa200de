"""What stands before each call of the connection API: who, how much, how often; and its count."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.errors import NotRunning
from gateway.http_api.answers import RETRY_AFTER_S, Problem, unavailable
from gateway.http_api.batch_calls import BatchCalls
from gateway.http_api.call import Call
from gateway.http_api.calls import Calls
from gateway.http_api.channel_calls import ChannelCalls
from gateway.http_api.credentials import Credentials, Verdict
from gateway.http_api.reading import body_of, headers_of, query_of, raw_of
from gateway.http_api.sigv4 import is_signed
from gateway.protocol.rate import Rate

METHODS: Final = frozenset(("GET", "POST", "PUT", "DELETE"))

Operation = Callable[["Api", Call], Awaitable[Response]]
Operations = Mapping[str, tuple[Operation, tuple[str, ...]]]


class Named(NamedTuple):
    """What a path names.

    Attributes:
        operations: What can be done there, by method, with the parameters that each takes.
        target: Of which connection, user or channel; empty where there is none.
        channel: Of which channel of that connection; else empty.
    """

    operations: Operations
    target: str = ""
    channel: str = ""


_Admitted = tuple[Named, bytes]  # with the body


class Around(Protocol):
    """What goes around a call."""

    def __call__(
        self,
        request: Request,
        route: str,
        answering: Awaitable[Response],
        *,
        known: bool,
        began_unix_ns: int,
    ) -> Awaitable[Response]:
        """Await ``answering``, once, and give its response.

        Args:
            known: An API key is shown, or what was signed has been checked.
            began_unix_ns: When the request came.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """One worker's connection API.

    Attributes:
        body_bytes: The longest body.
        rate: How many requests a second, of those who may, each thing that one asks for counted;
            None: as many as come.
        count: Told the method and the status of every request.
        refused: Told the request of who is not believed, and why, in one of a few words.
        now: Monotonic seconds.
        clock: Seconds of the wall clock.
        around: Goes around each call, if anything is to.
    """

    calls: Calls
    channel_calls: ChannelCalls
    batch_calls: BatchCalls
    credentials: Credentials
    body_bytes: int
    rate: Rate | None
    count: Callable[[str, int], None]
    refused: Callable[[Request, str], None]
    now: Callable[[], float]
    clock: Callable[[], float]
    around: Around | None = None


class Gate:
    """What stands before one path, an ASGI application: so that Starlette leaves every method to
    it.

    Args:
        named: What the path of a request names, given as it came on the wire. Raises ``Problem``
            where there is nothing.
        route: The path as it is told to ``Api.around``.
    """

    def __init__(
        self,
        api: Callable[[], Api | None],
        named: Callable[[Request, bytes], Named],
        route: str,
    ) -> None:
        self._api = api
        self._named = named
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        api = self._api()
        if api is None:
            response = unavailable(str(NotRunning())).response
        else:
            status = 500
            try:
                admitting = self._admitted(api, request)
                if api.around is None:
                    response = await self._call(api, request, admitting)
                else:
                    response = await self._within(api.around, api, request, admitting)
                status = response.status_code
            except Problem as problem:
                response = problem.response
                status = response.status_code
            finally:
                method = request.method if request.method in METHODS else "other"
                api.count(method, status)
        await response(scope, receive, send)

    async def _within(
        self, around: Around, api: Api, request: Request, admitting: Awaitable[_Admitted]
    ) -> Response:
        began_unix_ns = time.time_ns()
        known = api.credentials.shows_key(request.scope["headers"])
        if not known and is_signed(raw_of(request)):
            # Who has signed is known once the body is there.
            admitting = await _outcome(admitting)
            known = admitting.exception() is None
        answering = self._call(api, request, admitting)
        return await around(
            request, self._route, answering, known=known, began_unix_ns=began_unix_ns
        )

    async def _admitted(self, api: Api, request: Request) -> _Admitted:
        """What is asked for, and the body, of who may ask.

        Raises:
            Problem: There is no such thing, or its caller may not.
        """
        head = raw_of(request)
        named = self._named(request, head.raw_path)
        verdict = api.credentials.by_head(head, now_unix_s=api.clock())
        if verdict is not None and not verdict.allowed:
            # Without reading what comes from anybody.
            raise _turned_away(api, request, verdict)
        body = await body_of(request, api.body_bytes)
        if verdict is None:
            verdict = api.credentials.allows(replace(head, body=body), now_unix_s=api.clock())
            if not verdict.allowed:
                raise _turned_away(api, request, verdict)
        return named, body

    async def _call(self, api: Api, request: Request, admitting: Awaitable[_Admitted]) -> Response:
        (operations, target, channel), body = await admitting
        if api.rate is not None and not api.rate.allow(api.now()):
            raise _too_many()
        if request.method not in operations:
            allowed = ", ".join(operations)
            raise Problem(405, f"here there is only {allowed}", headers={"allow": allowed})
        operation, parameters = operations[request.method]
        call = Call(
            target=target,
            channel=channel,
            query=query_of(request, parameters),
            headers=headers_of(request),
            body=body,
        )
        return await operation(api, call)


async def _outcome(admitting: Awaitable[_Admitted]) -> asyncio.Future[_Admitted]:
    """What has come of it, to be awaited once more."""
    outcome: asyncio.Future[_Admitted] = asyncio.get_running_loop().create_future()
    try:
        outcome.set_result(await admitting)
    except Exception as error:
        outcome.set_exception(error)
    return outcome


def count_items(api: Api, items: int) -> None:
    """Count what one request asks for as so many: the first was counted when it came.

    Raises:
        Problem: They are too many, and nothing is done.
    """
    if api.rate is None:
        return
    if items > api.rate.most:
        raise Problem(
            413,
            f"{items} in one request, and this worker takes {api.rate.most:g} a second: send fewer",
        )
    if items > 1 and not api.rate.allow(api.now(), items - 1):
        raise _too_many()


def _turned_away(api: Api, request: Request, verdict: Verdict) -> Problem:
    api.refused(request, verdict.reason)
    headers = {} if verdict.challenge is None else {"www-authenticate": verdict.challenge}
    return Problem(verdict.status, verdict.text, kind=verdict.error_type, headers=headers)


def _too_many() -> Problem:
    return Problem(
        429,
        "too many requests for this worker, nothing was done: try again",
        headers={"retry-after": str(RETRY_AFTER_S)},
    )
