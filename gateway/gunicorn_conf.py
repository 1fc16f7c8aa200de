"""``gunicorn -c python:gateway.gunicorn_conf gateway.asgi:app``: gunicorn's own command line.

Settings are those of the environment. gunicorn's flags win over what is set here, ``--workers`` and
``--bind`` for instance.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import TYPE_CHECKING

from gateway.errors import ConfigError
from gateway.process.run_folder import make_run_folder, remove_run_folder, worker_died

try:
    _run_folder = make_run_folder()
except ConfigError as _error:
    print(f"gateway: {_error}", file=sys.stderr)  # noqa: T201
    sys.exit(2)
_supervisor_pid = os.getpid()


@atexit.register  # gunicorn's own hook is not called when a start is refused
def _remove_run_folder() -> None:
    if os.getpid() == _supervisor_pid:
        remove_run_folder(_run_folder)


from gateway.log import configure  # noqa: E402
from gateway.process import dead_child, start_checks, supervisor  # noqa: E402 (the folder comes first: see make_run_folder)
from gateway.process.serve import check  # noqa: E402
from gateway.process.systemd import tell_service_manager  # noqa: E402
from gateway.protocol.deadlines import AFTER_DRAIN_S, SILENT_WORKER_S  # noqa: E402
from gateway.redis_support.url import parse  # noqa: E402
from gateway.settings.sources import current  # noqa: E402

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter

    from gateway.process.server import GatewayWorker

_settings = current()
configure(_settings.log_level, _settings.log_errors)

_host = f"[{_settings.host}]" if ":" in _settings.host else _settings.host
bind = [f"{_host}:{_settings.port}"]
if _settings.admin_bind:
    bind.append(_settings.admin_bind)
workers = _settings.workers
worker_class = "gateway.process.server.GatewayWorker"
logger_class = supervisor.Logger
graceful_timeout = int(_settings.drain_seconds + AFTER_DRAIN_S)
timeout = int(SILENT_WORKER_S)
control_socket_disable = True


def on_starting(server: Arbiter) -> None:
    if server.cfg.workers > 1 and not _settings.redis_url:
        _refuse(
            f"{server.cfg.workers} workers need a broker in common: set GATEWAY_REDIS_URL, "
            "or use `gateway serve`, which brings one"
        )
    try:
        check(_settings)
        if _settings.redis_url:
            start_checks.check_redis(_settings, must_answer=False)
    except ConfigError as error:
        _refuse(str(error))
    dead_child.halt_for_no_status(server)
    tell_service_manager(server, _run_folder)


def _refuse(why: str) -> None:
    print(why, file=sys.stderr)  # noqa: T201
    sys.exit(2)


def child_exit(server: Arbiter, worker: GatewayWorker) -> None:
    worker_died(_run_folder, worker.pid)
    dead_child.halt_if_it_could_not_start(server, worker)
    if _settings.redis_url:
        dead_child.fence_child(parse(_settings.redis_url), _settings, worker)
