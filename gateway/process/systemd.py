"""``READY=1`` for a service manager, once every worker can serve.

gunicorn sends it before it has started a worker. So the socket is kept from it, and the supervisor,
which looks about ten times a second until then, sends the word itself (sd_notify(3)).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.log import get_logger
from gateway.worker.health import ready_workers

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter

log = get_logger(__name__)

SOCKET_VARIABLE: Final = "NOTIFY_SOCKET"
LOOK_S: Final = 0.1


def tell_when_ready(arbiter: Arbiter, run_folder: Path) -> None:
    """Call it before gunicorn says anything itself; nothing is done without a service manager."""
    address = os.environ.pop(SOCKET_VARIABLE, "")
    if address:
        arbiter.wait_for_signals = _Waiting(arbiter, address, run_folder)


class _Waiting:
    """The arbiter's ``wait_for_signals``, until every worker is ready."""

    def __init__(self, arbiter: Arbiter, address: str, run_folder: Path) -> None:
        self._arbiter = arbiter
        self._address = address
        self._run_folder = run_folder
        self._wait: Callable[..., Any] = arbiter.wait_for_signals

    def __call__(self, timeout: float = 1.0) -> Any:
        ready = ready_workers(self._run_folder) & set(self._arbiter.WORKERS)
        if len(ready) < self._arbiter.num_workers:
            return self._wait(timeout=min(timeout, LOOK_S))
        self._arbiter.wait_for_signals = self._wait
        _notify(self._address, f"READY=1\nSTATUS={len(ready)} workers serve")
        return self._wait(timeout=timeout)


def _notify(address: str, state: str) -> None:
    name = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.connect(name)
            manager.sendall(state.encode())
    except OSError as error:
        log.warning("service manager not told", error=str(error))
