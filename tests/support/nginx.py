"""A real nginx with the shipped configuration, on free ports, in a folder of its own."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import psutil

from tests.support.ports import free_port
from tests.support.serve import ROOT
from tests.support.waiting import blocking_eventually

SHIPPED = ROOT / "deploy" / "nginx"
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Nginx:
    """This machine's nginx in front of workers on loopback. A context manager.

    What runs is a copy of ``deploy/nginx`` with other addresses, ports and paths; nothing else is
    changed. A line that is to be changed and is not there is an error: then they have drifted.

    Args:
        workers: The ports of two workers.
        certificate: Certificate and key as PEM files, for TLS.
        locations: More of them, for the same server.
        most_connections: Of each of its processes, instead of the shipped bound.
    """

    def __init__(
        self,
        folder: Path,
        workers: Sequence[int],
        *,
        certificate: tuple[Path, Path] | None = None,
        locations: str = "",
        most_connections: int | None = None,
    ) -> None:
        self.port = free_port()
        self._folder = folder
        self._tls = certificate is not None
        self._process: subprocess.Popen[bytes] | None = None
        self._copy(workers)
        if certificate is None:
            self._conf = folder / "nginx-1.22.conf"
            _change(self._conf, "listen 80;", f"listen 127.0.0.1:{self.port};")
        else:
            self._conf = folder / "nginx-tls.conf"
            # The lines in which an older nginx needs another configuration.
            _change(self._conf, "upstream-by-name.conf", "upstream-by-list.conf")
            _change(self._conf, "http2 on;", "")
            _change(self._conf, "listen 443 ssl;", f"listen 127.0.0.1:{self.port} ssl http2;")
            _change(self._conf, "listen 80;", f"listen unix:{folder}/plain.sock;")
            tls = folder / "parts" / "tls.conf"
            _change(tls, "/etc/nginx/tls/fullchain.pem", str(certificate[0]))
            _change(tls, "/etc/nginx/tls/privkey.pem", str(certificate[1]))
            _change(folder / "parts" / "https-port.conf", "/run/", f"{folder}/")
            (folder / "https-port.conf").write_text(
                f'map "" $https_port {{ default ":{self.port}"; }}\n'
            )
        if most_connections is not None:
            _change(
                folder / "parts" / "process.conf",
                "worker_connections 20000;",
                f"worker_connections {most_connections};",
            )
        if locations:
            served = folder / "parts" / "gateway.conf"
            served.write_text(served.read_text() + locations)
        temporary = "".join(f"    {name}_temp_path {folder}/{name};\n" for name in TEMPORARY)
        _change(self._conf, "http {\n", "http {\n" + temporary)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"{'wss' if self._tls else 'ws'}://127.0.0.1:{self.port}/communicate"

    @property
    def access_log(self) -> str:
        return (self._folder / "access.log").read_text()

    @property
    def error_log(self) -> str:
        return (self._folder / "error.log").read_text()

    def _copy(self, workers: Sequence[int]) -> None:
        shutil.copytree(SHIPPED, self._folder)
        upstream = self._folder / "parts" / "upstream-by-list.conf"
        for listed, port in zip((8001, 8002), workers, strict=True):
            _change(upstream, f"server 127.0.0.1:{listed} ", f"server 127.0.0.1:{port} ")
        for log in ("access", "error"):
            of_requests = self._folder / "parts" / "http.conf"
            _change(of_requests, f"/var/log/nginx/{log}.log", f"{self._folder}/{log}.log")
        _change(self._folder / "parts" / "process.conf", "/var/log/nginx/", f"{self._folder}/")

    def __enter__(self) -> Nginx:
        place = ["-p", str(self._folder), "-c", str(self._conf)]
        command = ["nginx", "-e", str(self._folder / "error.log"), *place]
        command += ["-g", f"daemon off; pid {self._folder}/nginx.pid;"]
        with (self._folder / "output.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=_environment())
        try:
            blocking_eventually(self._answers, "an answer of nginx", 10)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError((self._folder / "output.log").read_text()[-2000:])
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _end(self) -> None:
        """End it with its processes, whatever state it is in."""
        if self._process is None:
            return
        family: list[psutil.Process] = []
        if self._process.poll() is None:
            family = psutil.Process(self._process.pid).children()
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for process in psutil.wait_procs(family, timeout=2)[1]:
            process.kill()


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key, good for two days."""
    folder.mkdir(exist_ok=True)
    certificate, key = folder / "fullchain.pem", folder / "privkey.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def _change(file: Path, what: str, into: str) -> None:
    text = file.read_text()
    if text.count(what) != 1:
        raise AssertionError(f"{file.name} must have {what!r} exactly once: was it edited?")
    file.write_text(text.replace(what, into))


def _environment() -> dict[str, str]:
    """Debian keeps nginx where only root's PATH looks."""
    return {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"}


def get(nginx: Nginx, path: str) -> tuple[int, str, http.client.HTTPMessage]:
    """One GET with the path exactly as given: status, body, headers."""
    connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()
