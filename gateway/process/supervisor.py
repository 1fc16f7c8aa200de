"""``gateway serve``: gunicorn's arbiter with our signals, our reload and our hooks."""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

from gunicorn import arbiter as gunicorn_arbiter
from gunicorn import glogging
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from starlette.types import ASGIApp

from gateway.app import create_app
from gateway.errors import ConfigError
from gateway.log import get_logger
from gateway.log.seldom import Seldom
from gateway.metrics import connections_of_all_workers
from gateway.process.dead_child import fence_child, halt_for_no_status, halt_if_it_could_not_start
from gateway.process.loading import load_gateway
from gateway.process.run_folder import (
    SILENCE_S,
    check_room,
    forget_said,
    restore_run_folder,
    said_before,
    worker_died,
)
from gateway.process.server import GatewayWorker
from gateway.process.start_checks import check_loadable
from gateway.process.systemd import tell_service_manager
from gateway.protocol.deadlines import AFTER_DRAIN_S, SILENT_WORKER_S
from gateway.redis_support.url import parse
from gateway.settings.config import Settings

log = get_logger(__name__)


# gunicorn bounds a stop by the wall clock: one that is set forward kills workers in the middle of
# their drain, one that is set back waits for them as long. It needs no date of this module.
gunicorn_arbiter.time = SimpleNamespace(
    time=time.monotonic, monotonic=time.monotonic, sleep=time.sleep
)


class Logger(glogging.Logger):
    """gunicorn's records go where ours go, and what it says of normal life is left to us."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self.error_log = logging.getLogger("gunicorn.error")
        self.access_log = logging.getLogger("gunicorn.access")
        chatty = logging.getLogger().level <= logging.DEBUG
        self.error_log.propagate = self.access_log.propagate = True
        self.error_log.setLevel(logging.INFO if chatty else logging.WARNING)
        self.access_log.setLevel(logging.WARNING)


class Supervisor(Arbiter):
    """Counts the signals of a stop: the first drains, the second ends everything at once."""

    def __init__(self, application: ServeApplication) -> None:
        self._stops = 0
        self._started = False
        self._unforked = Seldom(SILENCE_S, time.monotonic)
        super().__init__(application)

    def signal(self, sig: int, frame: FrameType | None) -> None:
        if sig in (signal.SIGINT, signal.SIGTERM):
            self._stops += 1
            sig = signal.SIGTERM if self._stops == 1 else signal.SIGQUIT
        super().signal(sig, frame)

    def stop(self, graceful: bool = True) -> None:
        if graceful and self._stops == 1:
            log.info(
                "stopping; a second signal ends everything at once",
                connections=_connections(),
                up_to_s=self.app.settings.drain_seconds,
            )
        super().stop(graceful)

    def reload(self) -> None:
        """HUP: new workers first, then the old ones drain. Unloadable code changes nothing.

        Nor does a full disk: the old ones would go, and no new ones come.

        gunicorn's own reload waits for the old workers, deaf to every other signal.
        """
        try:
            check_loadable(self.app.settings.app)
            self.app.restore_run_folder()
            check_room(self.num_workers)
        except (ConfigError, OSError) as error:
            log.error("reload refused, the running workers stay", error=str(error))
            return
        log.info("reload", workers=self.num_workers)
        for _ in range(self.num_workers):
            self.spawn_worker()
        self.manage_workers()

    def spawn_worker(self) -> int | None:
        """Start one more. Where there is no process, memory or folder for it: in a second.

        gunicorn would end those that serve. At the start it may: somebody looks on.
        """
        try:
            self.app.restore_run_folder()
            pid: int = super().spawn_worker()
        except OSError as error:
            if not self._started or os.getpid() != self.pid:
                raise
            if times := self._unforked.again():
                log.error("no worker can be started; trying again", error=str(error), times=times)
            return None
        self._started = self._started or len(self.WORKERS) >= self.num_workers
        return pid


def _connections() -> float | None:
    """None: the folder in which workers count is gone, or cannot be read."""
    try:
        return connections_of_all_workers()
    except (OSError, ValueError):
        return None


class ServeApplication(BaseApplication):
    """gunicorn's view of what is served.

    Args:
        in_worker: Called in every worker process, right after the fork.
    """

    def __init__(
        self,
        settings: Settings,
        listeners: Sequence[socket.socket],
        run_folder: Path,
        *,
        in_worker: Callable[[], None],
    ) -> None:
        self.settings = settings
        self._listeners = listeners
        self._run_folder = run_folder
        self._in_worker = in_worker
        super().__init__()

    def load_config(self) -> None:
        settings = self.settings
        options: dict[str, Any] = {
            "bind": [f"fd://{listener.fileno()}" for listener in self._listeners],
            "workers": settings.workers,
            "worker_class": GatewayWorker,
            "logger_class": Logger,
            "graceful_timeout": int(settings.drain_seconds + AFTER_DRAIN_S),
            "timeout": int(SILENT_WORKER_S),
            "control_socket_disable": True,
            "on_starting": self._on_starting,
            "post_fork": lambda arbiter, worker: self._in_worker(),  # noqa: ARG005
            "child_exit": self._child_exit,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> ASGIApp:
        """In a worker: import the application. Not in the supervisor: HUP must see new code."""
        settings = self.settings
        try:
            loaded = load_gateway(settings.app, lambda gateway: create_app(gateway, settings))
        except ConfigError as error:
            # Who edits code reads it once; who operates it may have to look for it.
            silence_s = math.inf if settings.reload else SILENCE_S
            if not said_before("load", str(error), silence_s=silence_s):
                log.error(str(error))
            sys.exit(Arbiter.APP_LOAD_ERROR)
        forget_said("load")
        return loaded

    def restore_run_folder(self) -> None:
        """Raises OSError: it is gone, and cannot be made anew."""
        if restore_run_folder(self._run_folder):
            log.warning("run folder was gone, made anew", folder=str(self._run_folder))

    def run(self) -> None:
        Supervisor(self).run()

    def _on_starting(self, arbiter: Arbiter) -> None:
        halt_for_no_status(arbiter)
        tell_service_manager(arbiter, self._run_folder)

    def _child_exit(self, arbiter: Arbiter, worker: GatewayWorker) -> None:
        worker_died(self._run_folder, worker.pid)
        halt_if_it_could_not_start(arbiter, worker)
        if self.settings.redis_url:
            fence_child(parse(self.settings.redis_url), self.settings, worker)
