"""What an application writes, and what its handlers are given."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

OnMessage = Callable[["Message"], Awaitable[str | None]]
OnConnect = Callable[["Connection"], Awaitable[str | None]]
OnDisconnect = Callable[["Connection"], Awaitable[None]]

_Handler = TypeVar("_Handler", bound=Callable[..., Awaitable[Any]])


@dataclass(frozen=True, slots=True)
class Connection:
    """One client socket, as handlers see it.

    Attributes:
        id: Its name, in all workers.
        user: Who the application said this is in ``on_connect``; None if it did not say.
        headers: Of the handshake, names in lower case; of a repeated header, the last one.
        query: The raw query string of the handshake's URL.
        address: Of the client; of the nearest untrusted proxy before it.
        subprotocols: What the client offered, in its order.
    """

    id: str
    user: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: str = field(default="", repr=False)
    address: str = ""
    subprotocols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a client.

    Attributes:
        text: What the client sent.
        connection: Who sent it.
        id: The same on every attempt: use it to do a thing once.
        attempt: 1, or more when workers died while they handled this message; 3 at most.
    """

    text: str = field(repr=False)
    connection: Connection
    id: str
    attempt: int = 1


class Handlers:
    """The handlers of one application, one of each kind."""

    def __init__(self) -> None:
        self.on_message: OnMessage | None = None
        self.on_connect: OnConnect | None = None
        self.on_disconnect: OnDisconnect | None = None

    def set(self, kind: str, handler: _Handler) -> _Handler:
        """Register ``handler``.

        Raises:
            TypeError: It is not an ``async def`` function.
            ValueError: There is one of this kind already.
        """
        name = getattr(handler, "__qualname__", repr(handler))
        asynchronous: bool = inspect.iscoroutinefunction(handler)
        if not asynchronous:
            raise TypeError(f"{name} must be an `async def` function to be an {kind} handler")
        if getattr(self, kind) is not None:
            raise ValueError(f"{name}: this gateway has an {kind} handler already")
        setattr(self, kind, handler)
        return handler
