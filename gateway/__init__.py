"""A horizontally scaled, broker-backed WebSocket gateway.

Public: what ``__all__`` lists, ``gateway.commands``, ``gateway.testing``, the command ``gateway``,
the settings and the metrics of the reference. Everything else may change in any release.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from gateway.settings.version import __version__ as __version__

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.application.publications import History, Publication, Published
    from gateway.backend_client.client import client
    from gateway.errors import (
        BadChannel,
        BrokerUnavailable,
        ChannelLimit,
        Denied,
        GatewayError,
        NotAvailable,
        NotRunning,
        PresenceLimit,
        PublicationTooLarge,
        Refused,
        UnknownChannel,
        UnrecoverablePosition,
        WorkerChannelLimit,
    )
    from gateway.handlers.definitions import Admit, Connection, Message
    from gateway.handlers.hook_requests import (
        Call,
        Grant,
        Publishing,
        Subscription,
        Unsubscription,
    )
    from gateway.protocol.channel_position import Position
    from gateway.protocol.receipt import Receipt, Sent

__all__ = [
    "Admit",
    "BadChannel",
    "BrokerUnavailable",
    "Call",
    "ChannelLimit",
    "Connection",
    "Denied",
    "Gateway",
    "GatewayError",
    "Grant",
    "History",
    "Message",
    "NotAvailable",
    "NotRunning",
    "Position",
    "PresenceLimit",
    "Publication",
    "PublicationTooLarge",
    "Published",
    "Publishing",
    "Receipt",
    "Refused",
    "Sent",
    "Subscription",
    "UnknownChannel",
    "UnrecoverablePosition",
    "Unsubscription",
    "WorkerChannelLimit",
    "client",
]

_HOMES = {
    "Admit": "gateway.handlers.definitions",
    "BadChannel": "gateway.errors",
    "BrokerUnavailable": "gateway.errors",
    "Call": "gateway.handlers.hook_requests",
    "ChannelLimit": "gateway.errors",
    "Connection": "gateway.handlers.definitions",
    "Denied": "gateway.errors",
    "Gateway": "gateway.app",
    "GatewayError": "gateway.errors",
    "Grant": "gateway.handlers.hook_requests",
    "History": "gateway.application.publications",
    "Message": "gateway.handlers.definitions",
    "NotAvailable": "gateway.errors",
    "NotRunning": "gateway.errors",
    "Position": "gateway.protocol.channel_position",
    "PresenceLimit": "gateway.errors",
    "Publication": "gateway.application.publications",
    "PublicationTooLarge": "gateway.errors",
    "Published": "gateway.application.publications",
    "Publishing": "gateway.handlers.hook_requests",
    "Receipt": "gateway.protocol.receipt",
    "Refused": "gateway.errors",
    "Sent": "gateway.protocol.receipt",
    "Subscription": "gateway.handlers.hook_requests",
    "UnknownChannel": "gateway.errors",
    "UnrecoverablePosition": "gateway.errors",
    "Unsubscription": "gateway.handlers.hook_requests",
    "WorkerChannelLimit": "gateway.errors",
    "client": "gateway.backend_client.client",
}


def __getattr__(name: str) -> object:
    """Import public names when they are first used.

    A supervisor must make its run folder before prometheus_client is imported
    (``gateway.process.run_folder``), and the command line answers three times faster without the
    server behind it.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
