"""Channels: a consumer for each socket, and the one that `runworker` runs for the messages."""

from __future__ import annotations

import os
from typing import Any

import django
from channels.consumer import AsyncConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ChannelNameRouter, ProtocolTypeRouter

from benchmarks.peers.channels_settings import WORK

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.peers.channels_settings")
django.setup()


class Consumer(AsyncWebsocketConsumer):
    """One socket. What it says goes to the worker, with the channel to answer to."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        del bytes_data
        work = {"type": "work.do", "reply": self.channel_name, "text": text_data}
        await self.channel_layer.send(WORK, work)

    async def work_done(self, event: dict[str, Any]) -> None:
        await self.send(text_data=event["text"])


class Work(AsyncConsumer):
    async def work_do(self, event: dict[str, Any]) -> None:
        await self.channel_layer.send(event["reply"], {"type": "work.done", "text": event["text"]})


application = ProtocolTypeRouter(
    {"websocket": Consumer.as_asgi(), "channel": ChannelNameRouter({WORK: Work.as_asgi()})}
)
