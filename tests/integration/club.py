"""An application whose hooks do what they are asked, away from the edge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

import msgspec

from gateway import (
    Call,
    Connection,
    Denied,
    Gateway,
    Grant,
    Message,
    Publishing,
    Refused,
    Subscription,
    Unsubscription,
)
from tests.integration.conftest import MakeSettings
from tests.support.inprocess import InProcess, in_process
from tests.support.waiting import eventually

INTERNAL = [100, "internal server error", True]
FOREVER = 4e9


class Application(Protocol):
    gateway: Gateway


class Club:
    """Does what it is asked, and notes what it is given."""

    def __init__(self) -> None:
        self.gateway = Gateway()
        self.given: list[Any] = []
        self.ends: list[str] = []  # of subscriptions and of connections
        self.gate = asyncio.Event()
        gateway = self.gateway
        gateway.on_message(self._message)
        gateway.on_disconnect(self._disconnect)
        gateway.on_subscribe("room:*")(self._subscribe)
        gateway.on_publish("room:*")(self._publish)
        gateway.on_unsubscribe("room:*")(self._unsubscribe)
        gateway.on_rpc("*")(self._call)

    async def _message(self, message: Message) -> str:
        self.given.append(message)
        return message.text

    async def _disconnect(self, connection: Connection) -> None:
        self.ends.append("gone")

    async def _unsubscribe(self, unsubscription: Unsubscription) -> None:
        self.ends.append(f"{unsubscription.channel} {unsubscription.code}")

    async def _subscribe(self, subscription: Subscription) -> Any:
        self.given.append(subscription)
        match subscription.channel.removeprefix("room:"):
            case "secret":
                raise Denied
            case "full":
                raise Denied(1200, "try later", temporary=True)
            case "trap":
                raise Refused(4501, "trapped")
            case "vip":
                return Grant({"vip": True}, [1, 2], FOREVER)
            case "odd":
                return "yes"
        return None

    async def _publish(self, publishing: Publishing) -> Any:
        self.given.append(publishing)
        if publishing.data == "shout":
            return "SHOUT"
        return None

    async def _call(self, call: Call) -> Any:
        self.given.append(call)
        match call.method:
            case "raise":
                raise RuntimeError
            case "hang":
                await asyncio.sleep(3600)
            case "wait":
                await self.gate.wait()
            case "bytes":
                return object()
            case "self":
                looped: list[Any] = []
                looped.append(looped)
                return looped
            case "surrogate":
                return "\ud800"
            case "huge":
                return "x" * ((1 << 20) + 1)
            case "false json":
                return msgspec.Raw(b"{not json")
        return call.data


@asynccontextmanager
async def apart(
    settings: MakeSettings, *applications: Application, **changes: Any
) -> AsyncIterator[tuple[InProcess, list[InProcess]]]:
    """An edge, and a handler worker for each application."""
    async with AsyncExitStack() as stack:
        handlers = [
            await stack.enter_async_context(
                in_process(settings(role="handler", **changes), application.gateway)
            )
            for application in applications
        ]
        edge = await stack.enter_async_context(in_process(settings(role="edge", **changes)))
        members = edge.worker.parts.members
        await eventually(lambda: len(members.handlers) == len(applications), "handlers")
        yield edge, handlers
