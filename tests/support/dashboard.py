"""What is asked of the dashboard, and a fault that it shows."""

from __future__ import annotations

from typing import Final

from deploy.grafana import model
from deploy.grafana.panel import Query
from tests.support.rawclient import raw_websocket
from tests.support.serve import Served
from tests.support.waiting import eventually

# What a person has chosen at the top, and what Grafana makes of a scrape each second.
CHOSEN: Final = {"$job": "gateway", "$instance": ".*", "$__rate_interval": "4s"}


def chosen(text: str) -> str:
    """A query with values for Grafana's variables."""
    for variable, value in CHOSEN.items():
        text = text.replace(variable, value)
    return text


def asked_for(query: Query) -> str:
    """What Prometheus is asked."""
    return chosen(model.query_text(query))


async def read_nothing(served: Served, within_s: float = 15.0) -> None:
    """A client that asks for much and takes none of it, until it is dropped.

    Its application is ``tests.support.apps.badday``.
    """
    before = served.metric("gateway_connections_closed_total", code="3008")
    async with raw_websocket(served.port) as lazy:
        lazy.stop_reading()
        lazy.say(*["huge 900000"] * 20)
        await eventually(
            lambda: served.metric("gateway_connections_closed_total", code="3008") > before,
            "the end of a slow client", within_s,
        )  # fmt: skip
