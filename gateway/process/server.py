"""One worker process: uvicorn's server with our drain, under gunicorn's supervision."""

from __future__ import annotations

import asyncio
import gc
import logging
import mmap
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import Any, Final

from gunicorn.arbiter import Arbiter
from gunicorn.reloader import Reloader
from uvicorn.config import Config
from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

from gateway import app
from gateway.edge.addresses import Forwarded
from gateway.edge.sockets.descriptor_reserve import ReservingHttp
from gateway.edge.sockets.picows_websocket import GatewayWebSocket
from gateway.errors import ConfigError
from gateway.log import configure, get_logger
from gateway.process.allocator import keep_freed_memory, told
from gateway.process.run_folder import reserve_metrics, said_before
from gateway.protocol.deadlines import NOTIFY_S
from gateway.protocol.ids import WorkerId
from gateway.settings.config import Settings
from gateway.settings.sources import current
from gateway.worker.worker import Worker
from gateway.worker.worker_ids import new_worker_id, reachable_worker_id

log = get_logger(__name__)

PING_INTERVAL_S: Final = 25.0
PING_TIMEOUT_S: Final = 10.0
RESPAWN_PAUSE_S: Final = 1.0
START_FAILURES: Final = (Arbiter.WORKER_BOOT_ERROR, Arbiter.APP_LOAD_ERROR)


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """How uvicorn must be set up so that every limit of the settings holds."""
    return {
        "http": ReservingHttp.within(settings.handshake_seconds, settings.stall_seconds),
        "ws": GatewayWebSocket.within(settings.frames_per_second),
        "ws_max_size": settings.message_bytes,
        "ws_ping_interval": PING_INTERVAL_S,
        "ws_ping_timeout": PING_TIMEOUT_S,
        "ws_per_message_deflate": False,
        "proxy_headers": False,  # GatewayWorker._serve has our own
        "server_header": False,
        "access_log": False,
        "log_config": None,
    }


# A young collection looks at all that is under way, and finds nothing: it is not garbage. With a
# thousand messages that is one for every seven of them, at 700.
YOUNG_OBJECTS: Final = 10_000


class GatewayServer(Server):
    """Drains before it closes sockets: uvicorn would close them all with 1012 at once."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._parent = os.getppid()
        # uvicorn times it by the wall clock: one that is set back silences every worker of the host
        # until their supervisor kills them.
        self._notify, config.callback_notify = config.callback_notify, None
        self._notify_at = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # Modules and the application live as long as the process. A full collection would look at
        # them again and again, for 0.1 s each time, while handshakes make garbage.
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS)
        log.info("freed memory", **told(keep_freed_memory()))
        for worker in self._workers():
            worker.on_exit = self._stop

    async def on_tick(self, counter: int) -> bool:
        if os.getppid() != self._parent:
            self.should_exit = True  # the supervisor was killed; nobody would stop us later
        now = time.monotonic()
        if self._notify is not None and now >= self._notify_at:
            self._notify_at = now + NOTIFY_S
            await self._notify()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        notifying = asyncio.create_task(self._keep_notifying())
        try:
            await asyncio.gather(*(worker.drain() for worker in self._workers()))
            await super().shutdown(sockets)
        finally:
            notifying.cancel()
            with suppress(asyncio.CancelledError):
                await notifying

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        # Repeats are one: Ctrl-C reaches the whole process group, and the supervisor sends its own.
        # Not recorded, or uvicorn would end a clean stop by raising the signal once more.
        self.should_exit = True

    def _workers(self) -> list[Worker]:
        return list(app.running)

    def _stop(self) -> None:
        self.should_exit = True

    async def _keep_notifying(self) -> None:
        """Tell gunicorn that a draining worker is alive."""
        while True:
            if self._notify is not None:
                await self._notify()
            await asyncio.sleep(NOTIFY_S)


class GatewayWorker(UvicornWorker):
    """gunicorn's worker class for the gateway.

    Attributes:
        gateway_worker_id: Known to the supervisor, which can then fence the worker by name.

    What it could not start for, and under which id it lives, it tells its supervisor in bytes that
    they share. The status of its process says nothing of that: handlers, and C libraries below
    them, exit as they like.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.CONFIG_KWARGS = {"loop": "uvloop", **uvicorn_options(current())}
        super().__init__(*arguments, **options)
        first = new_worker_id().encode()
        self._told = mmap.mmap(-1, 1 + len(first))
        self._told[1:] = first
        self._server: GatewayServer | None = None

    @property
    def gateway_worker_id(self) -> WorkerId:
        return WorkerId(self._told[1:].decode())

    @property
    def start_failure(self) -> int:
        """gunicorn's code for why this worker must not be tried again, 0 where it may be."""
        return self._told[0]

    def init_process(self) -> None:
        settings = current()
        configure(settings.log_level, settings.log_errors, people=settings.reload)
        try:
            # Now, and not once the application is to be loaded: a stop that comes meanwhile would
            # go to the supervisor's own handler, in this process, and be forgotten.
            self.init_signals()
            self._take_room()
            # Here, and not in the supervisor, which would hold up all others meanwhile.
            self._told[1:] = reachable_worker_id(settings).encode()
            os.environ[app.WORKER_ID_VARIABLE] = self.gateway_worker_id
            super().init_process()
        except SystemExit as end:
            if not isinstance(end.code, int) or end.code not in START_FAILURES or self._has_served:
                raise
            if self._respawned:
                # Not told: every healthy sibling would stop because of one that cannot start.
                if not said_before("start", str(end.code)):
                    logging.getLogger("gunicorn.error").error(
                        "a worker could not start; trying again"
                    )
                time.sleep(RESPAWN_PAUSE_S)
                sys.exit(1)
            self._told[0] = end.code
            raise
        except Exception:
            if not self._respawned and not self.booted:
                self._told[0] = Arbiter.WORKER_BOOT_ERROR
            raise

    @staticmethod
    def _take_room() -> None:
        try:
            reserve_metrics()
        except ConfigError as error:
            if not said_before("room", str(error)):
                log.error("no room for temporary files", error=str(error))
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def load_wsgi(self) -> None:
        super().load_wsgi()
        if current().reload:
            Reloader(callback=self._code_changed).start()

    def _code_changed(self, file: str) -> None:
        log.info("code changed, this worker starts anew", file=file)
        os.kill(os.getpid(), signal.SIGTERM)

    @property
    def _has_served(self) -> bool:
        return self._server is not None and self._server.started

    @property
    def _respawned(self) -> bool:
        return bool(self.age > self.cfg.workers)

    async def _serve(self) -> None:
        # Here too, and not only in the application: one that mounts a gateway is served as it is.
        trusted = current().trusted_proxies
        self.config.app = Forwarded(self.wsgi, trusted) if trusted else self.wsgi
        self._server = server = GatewayServer(self.config)
        asyncio.get_running_loop().add_signal_handler(signal.SIGQUIT, os._exit, 0)
        await server.serve(sockets=self.sockets)
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
