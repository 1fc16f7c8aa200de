"""A gateway in containers, by the commands of Docker."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Final

import psutil

from loadtest.arguments import Arguments, Refused
from loadtest.stands.base import Processes, Stand

# Services of docker-compose.yml; which of them run is a matter of the profile.
SOCKETS_IN: Final = ("gateway", "edge", "watched")
HANDLERS_IN: Final = ("handler",)
REDIS_IN: Final = ("redis", "redis-1", "redis-2", "redis-3")


class ComposeStand(Stand):
    """The gateway of a compose project on this machine's Docker engine, whatever its profile."""

    can_be_harmed = True

    def __init__(self, arguments: Arguments) -> None:
        super().__init__(arguments.host, arguments.api, arguments.api_key)
        self._project = arguments.compose
        self._restarting: subprocess.Popen[bytes] | None = None
        if not self._containers():
            raise Refused(
                f"compose project {self._project!r} has no running container of "
                + " or ".join(SOCKETS_IN)
            )

    def _containers(self, services: Sequence[str] = SOCKETS_IN) -> list[str]:
        project = f"--filter=label=com.docker.compose.project={self._project}"
        service = "--filter=label=com.docker.compose.service="
        return [
            container
            for name in services
            for container in _docker("ps", "--quiet", project, service + name).split()
        ]

    def processes(self) -> Processes:
        return Processes(self._inside(SOCKETS_IN + HANDLERS_IN), self._inside(REDIS_IN))

    def _inside(self, services: Sequence[str]) -> list[psutil.Process]:
        """The containers' processes, as far as this machine sees them."""
        found: list[psutil.Process] = []
        for container in self._containers(services):
            pid = _docker("inspect", "--format={{.State.Pid}}", container).strip()
            if pid.isdecimal() and int(pid) and psutil.pid_exists(int(pid)):
                first = psutil.Process(int(pid))
                found += [first, *first.children(recursive=True)]
        return found

    def kill_worker(self) -> str:
        container = self._containers()[-1]
        _docker("kill", container)
        _docker("start", container)  # the engine takes a kill for a wish, and leaves it
        return "container killed"

    def restart_all(self) -> str:
        command = ["docker", "restart", "--time", "50", *self._containers()]
        self._restarting = subprocess.Popen(  # it takes them one after another
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return "restart begins"

    def alone(self) -> bool:
        return len(self._containers()) < 2

    def busy(self) -> bool:
        return self._restarting is not None and self._restarting.poll() is None


def _docker(*arguments: str) -> str:
    command = ["docker", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise Refused(f"docker {arguments[0]}: {error}") from None
    return done.stdout
