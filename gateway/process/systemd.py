"""What a service manager is told: that every worker can serve, and that they begin to leave.

gunicorn says ``READY=1`` before it has started a worker. So the socket is kept from it, and the
supervisor, which looks about ten times a second until then, sends the word itself (sd_notify(3)).
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
EXIT_S: Final = 10.0  # of the supervisor, from the kill of its last worker until its own end


def tell_service_manager(arbiter: Arbiter, run_folder: Path) -> None:
    """Call it before gunicorn says anything itself; nothing is done without a service manager."""
    address = os.environ.pop(SOCKET_VARIABLE, "")
    if address:
        arbiter.wait_for_signals = _Waiting(arbiter, address, run_folder)
        arbiter.stop = _Stopping(arbiter, address)


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


class _Stopping:
    """The arbiter's ``stop``, which says first how long it may take.

    So a drain that was set longer than the unit's ``TimeoutStopSec`` is not cut short.
    """

    def __init__(self, arbiter: Arbiter, address: str) -> None:
        self._arbiter = arbiter
        self._address = address
        self._stop: Callable[..., None] = arbiter.stop
        self._told = False

    def __call__(self, graceful: bool = True) -> None:
        if not self._told:  # gunicorn stops a second time, at its very end
            self._told = True
            up_to_s = self._arbiter.cfg.graceful_timeout + EXIT_S
            _notify(
                self._address,
                f"STOPPING=1\nEXTEND_TIMEOUT_USEC={up_to_s * 1_000_000:.0f}\nSTATUS=workers leave",
            )
        self._stop(graceful)


def _notify(address: str, state: str) -> None:
    name = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.connect(name)
            manager.sendall(state.encode())
    except OSError as error:
        log.warning("service manager not told", error=str(error))
