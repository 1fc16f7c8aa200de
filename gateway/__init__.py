"""A horizontally scaled, broker-backed WebSocket gateway.

Public: what ``__all__`` lists, ``gateway.testing``, the command ``gateway``, the settings and the
metrics of the reference. Everything else may change in any release.
"""

from gateway.app import Gateway
from gateway.errors import GatewayError, NotRunning, Refused
from gateway.handlers.table import Connection, Message

__all__ = ["Connection", "Gateway", "GatewayError", "Message", "NotRunning", "Refused"]
__version__ = "0.1.0"
