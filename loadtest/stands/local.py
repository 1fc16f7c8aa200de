"""A ``gateway serve`` that is found on this machine, with its processes and its signals."""

from __future__ import annotations

import re
import signal
from urllib.parse import urlsplit

import psutil

from loadtest.stands.base import Processes, Stand


class LocalStand(Stand):
    """A ``gateway serve`` on this machine."""

    can_be_harmed = True

    def __init__(self, host: str, api: str, api_key: str, serve: psutil.Process) -> None:
        super().__init__(host, api, api_key)
        self.serve = serve
        self._leaving: list[psutil.Process] = []

    def processes(self) -> Processes:
        found = Processes()
        try:
            children = self.serve.children(recursive=True)
        except psutil.NoSuchProcess:
            return found
        for child in children:
            try:
                if re.match(r"(redis|valkey)-server", child.name()):
                    found.redis.append(child)
                elif (
                    child.ppid() == self.serve.pid
                    and "gateway.process.embedded_broker" not in child.cmdline()
                ):
                    found.workers.append(child)
            except psutil.Error:
                continue  # it ended meanwhile
        return found

    def kill_worker(self) -> str:
        victim = min(self.processes().workers, key=lambda worker: worker.create_time())
        victim.kill()
        return "worker killed"

    def restart_all(self) -> str:
        self._leaving = self.processes().workers
        self.serve.send_signal(signal.SIGHUP)
        return "restart begins"

    def alone(self) -> bool:
        return len(self.processes().workers) < 2

    def busy(self) -> bool:
        return any(worker.is_running() for worker in self._leaving)


def listening_here(host: str) -> psutil.Process | None:
    """The ``gateway serve`` of this machine that listens at this address."""
    parts = urlsplit(host)
    if parts.hostname not in {"localhost", "127.0.0.1"}:
        return None
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "serve" not in command:
            continue
        try:
            parent = process.parent()
            if parent is not None and parent.cmdline() == command:
                continue  # one of its workers
            listening = {
                c.laddr.port for c in process.net_connections("tcp") if c.status == "LISTEN"
            }
        except psutil.Error:
            continue
        if parts.port in listening:
            return process
    return None
