"""What the bad days of channels have in common: namespaces, channels, and how long is kept."""

from __future__ import annotations

import json
from typing import Any, Final

from gateway.channel_broker.base import HistoryOptions
from tests.support.serve import Served
from tests.support.stand import Stand

SUBSCRIBERS: Final = 1000
META_S: Final = 30 * 24 * 3600

_OPEN: Final = {"allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True}
_KEPT: Final = {"history_ttl": "300s", "allow_positioning": True, "allow_recovery": True}
NAMESPACES: Final[list[dict[str, Any]]] = [
    {"name": "long", "history_size": 2000, "allow_publish_for_client": True,
     "allow_publish_for_anonymous": True, **_KEPT, **_OPEN},
    {"name": "short", "history_size": 1, **_KEPT, **_OPEN},
    {"name": "hook", "allow_publish_for_subscriber": True, "allow_publish_for_anonymous": True,
     **_OPEN},
    {"name": "text"},
    {"name": "room", "presence": True, "join_leave": True, **_OPEN,
     "allow_presence_for_subscriber": True, "allow_presence_for_anonymous": True},
]  # fmt: skip

LONG: Final = {f"long:{n}": HistoryOptions(2000, 300, META_S) for n in range(10)}
SHORT: Final = {f"short:{n}": HistoryOptions(1, 300, META_S) for n in range(10)}


def environment(**more: str) -> dict[str, str]:
    return {
        "GATEWAY_CHANNEL": json.dumps({"namespaces": NAMESPACES}),
        "GATEWAY_ALLOW_ANONYMOUS_CONNECT_WITHOUT_TOKEN": "on",
        **more,
    }


async def serve(stand: Stand, *options: str, redis_url: str | None = None, **more: str) -> Served:
    """Start one more gateway that has these namespaces."""
    return await stand.serve(*options, redis_url=redis_url, environment=environment(**more))
