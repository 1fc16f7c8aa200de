"""A listening socket that a service manager has opened, in place of one of our own.

The protocol is that of sd_listen_fds(3), and of systemd-socket-activate(1).
"""

from __future__ import annotations

import os
import socket
from typing import Final

from gateway.errors import ConfigError

FIRST_DESCRIPTOR: Final = 3
VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def passed_socket() -> socket.socket | None:
    """The socket that clients reach, if this process was started with one.

    It is taken out of the environment: whoever looks there next (gunicorn does) finds nothing.

    Raises:
        ConfigError: What was passed is not one listening TCP socket. It is then left as it is.
    """
    pid, count, _ = (os.environ.pop(variable, "") for variable in VARIABLES)
    if pid != str(os.getpid()):  # inherited by way of somebody whom it was meant for
        return None
    if count != "1":
        raise ConfigError(f"LISTEN_FDS={count} sockets were passed, where one is served")
    try:
        listener = socket.socket(fileno=FIRST_DESCRIPTOR)
    except OSError as error:
        raise ConfigError(f"LISTEN_FDS: descriptor 3 is no socket: {error.strerror}") from None
    if listener.family not in (socket.AF_INET, socket.AF_INET6) or not _listens(listener):
        listener.detach()
        raise ConfigError("LISTEN_FDS: the socket passed is not one that listens for TCP")
    listener.set_inheritable(True)
    return listener


def _listens(passed: socket.socket) -> bool:
    return bool(passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
