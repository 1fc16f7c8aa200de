"""Run an application's handlers in a test, without Redis, sockets or processes."""

from gateway.settings.namespaces import ChannelOptions, Namespaces
from gateway.testing.channels import Published
from gateway.testing.client import Client, NoHandler, NotConnected, connection
from gateway.testing.outbox import (
    Disconnected,
    Outbox,
    Pushed,
    Subscribed,
    Taken,
    Unsubscribed,
    outbox,
)

__all__ = [
    "ChannelOptions",
    "Client",
    "Disconnected",
    "Namespaces",
    "NoHandler",
    "NotConnected",
    "Outbox",
    "Published",
    "Pushed",
    "Subscribed",
    "Taken",
    "Unsubscribed",
    "connection",
    "outbox",
]
