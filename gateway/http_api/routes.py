"""The connection API's paths: what each names, and which call answers it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final
from urllib.parse import quote, unquote

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway.commands.batch import items_of
from gateway.http_api.answers import Problem, answer, check
from gateway.http_api.call import Call
from gateway.http_api.calls import Calls
from gateway.http_api.channel_calls import ChannelCalls
from gateway.http_api.commands import broadcast_of, commands_of
from gateway.http_api.gate import Api, Gate, Named, Operation, Operations, count_items
from gateway.http_api.openapi import document
from gateway.protocol.receipt import Receipt

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


def api_routes(api: Callable[[], Api | None], *, version: str) -> list[BaseRoute]:
    """The routes. ``api`` gives None while the gateway does not run in this process."""

    async def openapi(request: Request) -> Response:
        # Below a prefix (an application mounts the gateway) the paths begin there.
        return answer(document(request.scope.get("root_path") or "/", version))

    def path(template: str, operations: Operations, choose: Choose | None = None) -> BaseRoute:
        route = template.replace(":gateway_rest", "")
        return Route(template, Gate(api, partial(_named, operations, choose), route))

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
    count_items(api, len(broadcast.channels))
    return answer(await api.batch_calls.broadcast(broadcast))


async def _batch(api: Api, call: Call) -> Response:
    commands = commands_of(call)
    count_items(api, items_of(commands))
    return answer(await api.batch_calls.run(commands))


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

Choose = Callable[[str], Named | None]  # of the path as it came


def _of_connection(raw: str) -> Named | None:
    """``<connection>/channels/<channel>``: a slash that belongs to a name is percent-encoded."""
    match raw.split("/"):
        case [connection, "channels", channel]:
            return Named(_SUBSCRIPTION, connection, channel)
    return None


def _of_channel(raw: str) -> Named | None:
    match raw.split("/"):
        case [channel]:
            return Named(_CHANNEL, channel)
        case [channel, what] if what in _OF_CHANNEL:
            return Named(_OF_CHANNEL[what], channel)
    known = ", ".join(_OF_CHANNEL)
    message = f"of a channel there is {known}; a slash in its name is written %2F"
    raise Problem(404, message)


def _named(
    operations: Operations, choose: Choose | None, request: Request, raw_path: bytes
) -> Named:
    """What the path names, decoded.

    Args:
        choose: Reads what follows, where that may name more than a target. By Starlette it cannot
            be told apart: it matches what is decoded already.
    """
    decoded: str | None = request.path_params.get("target")
    if decoded is None:
        return Named(operations)
    raw = _raw_target(decoded, raw_path)
    chosen = None if choose is None else choose(raw)
    if chosen is None:
        return Named(operations, _decoded(raw, decoded))
    target, channel = (_decoded(each, decoded) for each in (chosen.target, chosen.channel))
    return Named(chosen.operations, target, channel)


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
