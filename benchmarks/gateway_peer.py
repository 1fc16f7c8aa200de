"""The gateway, as a peer: ``gateway serve`` with its Redis, and its socket layer alone."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from benchmarks.peers.processes import port_of, started
from tests.support.pusher import API_KEY
from tests.support.serve import Served

READY_WITHIN_S = 15.0
_ALLOWED = {
    f"allow_{what}_for_{who}": True
    for what in ("subscribe", "publish")
    for who in ("client", "anonymous")
}
_KEPT = {"history_size": 1000, "history_ttl": "60s", "force_recovery": True}
CHANNELS = json.dumps(
    {"without_namespace": _ALLOWED, "namespaces": [{"name": "kept", **_ALLOWED, **_KEPT}]}
)
PACKAGES = ("uvicorn", "picows", "redis", "hiredis", "msgspec", "starlette", "uvloop", "httptools")


def our_versions() -> dict[str, str]:
    return {package: importlib.metadata.version(package) for package in PACKAGES}


@dataclass(frozen=True)
class GatewayPeer:
    """Workers that are edges and workers that run handlers, or workers that are both.

    Args:
        split: One port for edges, one for handlers, so that no reply is local.
        processes: How many workers, of each role if split.
        asked: What takes pushes is the other of two, whose URL comes last.
        messages_per_second: Of one connection.
        fanout: Two that are both have the clients in turn, at ``path``, and channels.
        channels: There are channels.
    """

    name: str = "gateway"
    split: bool = True
    processes: int = 1
    asked: bool = False
    application: str = ""
    messages_per_second: int | None = None
    fanout: bool = False
    channels: bool = False
    path: str = "/communicate"
    dialect: str = "gateway"
    expected_us: float | None = 26.5  # of a routed echo

    def install(self) -> None:
        """It is here."""

    def versions(self) -> dict[str, str]:
        return our_versions()

    @contextmanager
    def start(
        self, directory: Path, redis_url: str, workers: int
    ) -> Iterator[tuple[list[str], list[int]]]:
        """Where clients connect, and the parents of all workers."""
        environment = {
            "GATEWAY_REDIS_URL": redis_url,
            "GATEWAY_TRACE": "off",
            "GATEWAY_API_KEYS": API_KEY,
            "GATEWAY_DRAIN_SECONDS": "1",
            "GATEWAY_MESSAGES_PER_SECOND": str(self.messages_per_second or "off"),
        }
        application = [self.application] if self.application else []
        count = ["--workers", str(workers)]
        if self.fanout or self.channels:
            environment |= {"GATEWAY_CHANNEL": CHANNELS}
            environment["GATEWAY_ALLOW_ANONYMOUS_CONNECT_WITHOUT_TOKEN"] = "on"
        pair = self.asked or self.fanout
        roles = ("edge", "handler") if self.split else ("both", "both") if pair else ("both",)
        with ExitStack() as stack:
            served = [
                stack.enter_context(
                    Served(
                        directory / f"{number}-{role}",
                        *(*application, *count, "--role", role),
                        environment=environment,
                    )
                )
                for number, role in enumerate(roles)
            ]
            entered = served if pair else served[:1]
            for one in entered:
                wait_for_answer(one.ws_url)
            urls = [one.ws_url.replace("/communicate", self.path) for one in entered]
            yield urls, [one.pid for one in served]


def wait_for_answer(url: str) -> None:
    """The edge may not know yet that there is a handler.

    Raises:
        TimeoutError: No answer came.
    """
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        try:
            with connect(url, compression=None) as socket:
                socket.send("0:0:")
                if socket.recv(timeout=1.0):
                    return
        except (OSError, TimeoutError, WebSocketException):
            time.sleep(0.05)
    raise TimeoutError(f"{url} gave no answer")


LAYERS = {
    "send(2)": "benchmarks.bare_send",
    "picows": "picows",
    "gateway's socket layer": "extension",
    "gateway's socket layer, plain ASGI": "asgi",
    "gateway, one worker, no Redis": "gateway",
}
EXPECTED_US = {"picows": 10.0, "extension": 12.0, "asgi": 19.0}


@dataclass(frozen=True)
class LayerPeer:
    """One process that echoes. ``name`` is a key of ``LAYERS``: a server of socket_layer."""

    name: str
    processes: int = 1

    @property
    def expected_us(self) -> float | None:
        return EXPECTED_US.get(LAYERS[self.name])

    @property
    def dialect(self) -> str:
        return "gateway" if LAYERS[self.name] == "gateway" else "plain"

    def install(self) -> None:
        """It is here."""

    def versions(self) -> dict[str, str]:
        return our_versions()

    @contextmanager
    def start(
        self, directory: Path, redis_url: str, workers: int
    ) -> Iterator[tuple[list[str], list[int]]]:
        """Where clients connect, and the process."""
        assert workers == 1, f"one process, without {redis_url}"
        kind, log = LAYERS[self.name], directory / "server.log"
        module = ["-m", kind] if "." in kind else ["-m", "benchmarks.socket_layer", "serve", kind]
        with started([sys.executable, *module], log) as process:
            port = port_of(process, log)
            path = "/communicate" if kind == "gateway" else "/"
            url = f"ws://127.0.0.1:{port}{path}"
            if kind != "benchmarks.bare_send":
                wait_for_answer(url)
            yield [url], [process.pid]
