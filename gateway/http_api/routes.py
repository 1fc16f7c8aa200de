"""The connection API's paths, and what stands before each call: who, how much, how often."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol
from urllib.parse import quote, unquote

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from gateway.errors import NotRunning
from gateway.http_api.answers import RETRY_AFTER_S, Problem, answer, check, unavailable
from gateway.http_api.batch_calls import BatchCalls
from gateway.http_api.call import Call
from gateway.http_api.calls import Calls
from gateway.http_api.channel_calls import ChannelCalls
from gateway.http_api.commands import broadcast_of, commands_of, items_of
from gateway.http_api.credentials import Credentials, Verdict
from gateway.http_api.openapi import document
from gateway.http_api.reading import body_of, query_of, raw_of
from gateway.http_api.sigv4 import is_signed
from gateway.protocol.rate import Rate
from gateway.protocol.receipt import Receipt

METHODS: Final = frozenset(("GET", "POST", "PUT", "DELETE"))
# The first that can be one: what comes behind it belongs to the name.
_RAW_TARGET: Final = re.compile(rb"/(?:@|%40)(?:connections|users|channels)/(.*)", re.DOTALL)


class _Rest(Convertor[str]):
    """Whatever is left of a path. Starlette's own ``path`` ends at a line break."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("gateway_rest", _Rest())

Operation = Callable[["Api", Call], Awaitable[Response]]
Operations = Mapping[str, tuple[Operation, tuple[str, ...]]]


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
    now: Callable[[], float]
    clock: Callable[[], float]
    around: Around | None = None


def api_routes(api: Callable[[], Api | None], *, version: str) -> list[BaseRoute]:
    """The routes. ``api`` gives None while the gateway does not run in this process."""

    async def openapi(request: Request) -> Response:
        # Below a prefix (an application mounts the gateway) the paths begin there.
        return answer(document(request.scope.get("root_path") or "/", version))

    def path(template: str, operations: Operations, choose: Choose | None = None) -> BaseRoute:
        route = template.replace(":gateway_rest", "")
        return Route(template, _Path(api, operations, choose, route))

    return [
        Route("/@openapi.json", openapi, methods=["GET"]),
        path("/@connections", _CONNECTIONS),
        # Whatever stands there is answered: what is no connection's id names none (410).
        path("/@connections/{target:gateway_rest}", _CONNECTION, _of_connection),
        path("/@workers", _WORKERS),
        path("/@users/{target:gateway_rest}", _USER),
        path("/@channels", _CHANNEL_LIST),
        path("/@channels/{target:gateway_rest}", _CHANNEL, _of_channel),
        path("/@broadcast", _BROADCAST),
        path("/@batch", _BATCH),
    ]


def _connections(call: Callable[[Calls, Call], Awaitable[Response]]) -> Operation:
    return lambda api, asked: call(api.calls, asked)


def _channels(call: Callable[[ChannelCalls, Call], Awaitable[Response]]) -> Operation:
    return lambda api, asked: call(api.channel_calls, asked)


async def _broadcast(api: Api, call: Call) -> Response:
    broadcast = broadcast_of(call)
    _count_items(api, len(broadcast.channels))
    return answer(await api.batch_calls.broadcast(broadcast))


async def _batch(api: Api, call: Call) -> Response:
    commands = commands_of(call)
    _count_items(api, items_of(commands))
    return answer(await api.batch_calls.run(commands))


def _count_items(api: Api, items: int) -> None:
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


_CONNECTIONS: Final[Operations] = {
    "GET": (_connections(Calls.connections), ("cursor", "limit", "worker", "user", "address")),
}
_CONNECTION: Final[Operations] = {
    "POST": (_connections(Calls.send), ()),
    "GET": (_connections(Calls.inquire), ()),
    "DELETE": (_connections(Calls.disconnect), ("code", "reason")),
}
_SUBSCRIPTION: Final[Operations] = {
    "PUT": (_connections(Calls.subscribe), ()),
    "DELETE": (_connections(Calls.unsubscribe), ()),
}
_WORKERS: Final[Operations] = {"GET": (_connections(Calls.workers), ("fenced",))}
_USER: Final[Operations] = {
    "POST": (_connections(Calls.send_to_user), ()),
    "GET": (_connections(Calls.connections_of_user), ()),
    "DELETE": (_connections(Calls.disconnect_user), ("code", "reason")),
}
_CHANNEL_LIST: Final[Operations] = {
    "GET": (_channels(ChannelCalls.channels), ("cursor", "limit", "pattern")),
}
_CHANNEL: Final[Operations] = {
    "POST": (_channels(ChannelCalls.publish), ("tags", "version", "history")),
}
_BROADCAST: Final[Operations] = {"POST": (_broadcast, ())}
_BATCH: Final[Operations] = {"POST": (_batch, ())}
_OF_CHANNEL: Final[Mapping[str, Operations]] = {
    "history": {
        "GET": (
            _channels(ChannelCalls.history),
            ("limit", "since_offset", "since_epoch", "reverse"),
        ),
        "DELETE": (_channels(ChannelCalls.remove_history), ()),
    },
    "presence": {"GET": (_channels(ChannelCalls.presence), ())},
    "presence_stats": {"GET": (_channels(ChannelCalls.presence_stats), ())},
}

Chosen = tuple[Operations, str, str]  # what the path is for, as it came: target, channel
Admitted = tuple[Chosen, bytes]  # with the body
Choose = Callable[[str], Chosen | None]


def _of_connection(raw: str) -> Chosen | None:
    """``<connection>/channels/<channel>``: a slash that belongs to a name is percent-encoded."""
    match raw.split("/"):
        case [connection, "channels", channel]:
            return _SUBSCRIPTION, connection, channel
    return None


def _of_channel(raw: str) -> Chosen | None:
    match raw.split("/"):
        case [channel]:
            return _CHANNEL, channel, ""
        case [channel, what] if what in _OF_CHANNEL:
            return _OF_CHANNEL[what], channel, ""
    known = ", ".join(_OF_CHANNEL)
    message = f"of a channel there is {known}; a slash in its name is written %2F"
    raise Problem(404, message)


class _Path:
    """One path, an ASGI application: so that Starlette leaves every method to it.

    Args:
        choose: Reads what follows, where that may name more than a target. By Starlette it cannot
            be told apart: it matches what is decoded already.
    """

    def __init__(
        self,
        api: Callable[[], Api | None],
        operations: Operations,
        choose: Choose | None,
        route: str,
    ) -> None:
        self._api = api
        self._operations = operations
        self._choose = choose
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
        self, around: Around, api: Api, request: Request, admitting: Awaitable[Admitted]
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

    async def _admitted(self, api: Api, request: Request) -> Admitted:
        """What is asked for, and the body, of who may ask.

        Raises:
            Problem: There is no such thing, or its caller may not.
        """
        head = raw_of(request)
        named = self._named(request, head.raw_path)
        verdict = api.credentials.by_head(head, now_unix_s=api.clock())
        if verdict is not None and not verdict.allowed:
            raise _turned_away(verdict)  # without reading what comes from anybody
        body = await body_of(request, api.body_bytes)
        if verdict is None:
            verdict = api.credentials.allows(replace(head, body=body), now_unix_s=api.clock())
            if not verdict.allowed:
                raise _turned_away(verdict)
        return named, body

    async def _call(self, api: Api, request: Request, admitting: Awaitable[Admitted]) -> Response:
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
            headers=request.headers,
            body=body,
        )
        return await operation(api, call)

    def _named(self, request: Request, raw_path: bytes) -> Chosen:
        """What can be done there; the target and the channel, decoded, empty if there is none."""
        decoded: str | None = request.path_params.get("target")
        if decoded is None:
            return self._operations, "", ""
        raw = _raw_target(decoded, raw_path)
        chosen = None if self._choose is None else self._choose(raw)
        if chosen is None:
            return self._operations, _decoded(raw, decoded), ""
        operations, target, channel = chosen
        return operations, _decoded(target, decoded), _decoded(channel, decoded)


async def _outcome(admitting: Awaitable[Admitted]) -> asyncio.Future[Admitted]:
    """What has come of it, to be awaited once more."""
    outcome: asyncio.Future[Admitted] = asyncio.get_running_loop().create_future()
    try:
        outcome.set_result(await admitting)
    except Exception as error:
        outcome.set_exception(error)
    return outcome


def _raw_target(decoded: str, raw_path: bytes) -> str:
    """What the path names, as it came on the wire.

    Dots or a last slash that belong to a name are percent-encoded: as they stand they are steps.

    Raises:
        Problem: There is nothing at this path.
    """
    match = _RAW_TARGET.search(raw_path)
    raw = match[1].decode("latin-1") if match else quote(decoded, safe="/.")
    if not {".", ".."}.isdisjoint(raw.split("/")):
        # To a proxy that guards these paths it may have looked like another one: no more is said.
        check(Receipt.GONE)
    if len(raw) > 1 and raw.endswith("/"):
        raise Problem(404, "there is nothing at this path: leave out the slash at its end")
    return raw


def _decoded(raw: str, whole: str) -> str:
    try:
        return unquote(raw, errors="strict")
    except UnicodeDecodeError:
        return whole  # no connection's id, and the name of no user and no channel


def _turned_away(verdict: Verdict) -> Problem:
    headers = {} if verdict.challenge is None else {"www-authenticate": verdict.challenge}
    return Problem(verdict.status, verdict.text, kind=verdict.error_type, headers=headers)


def _too_many() -> Problem:
    return Problem(
        429,
        "too many requests for this worker, nothing was done: try again",
        headers={"retry-after": str(RETRY_AFTER_S)},
    )
