"""nchan: a C module of nginx. ``python -m benchmarks.peers.nchan`` checks it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from benchmarks.peers import checking
from benchmarks.peers.installing import INSTALLED, Missing, run
from benchmarks.peers.processes import started, wait_until
from tests.support.ports import free_port

PACKAGE = "libnginx-mod-nchan"
MODULE = "usr/lib/nginx/modules/ngx_nchan_module.so"
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"  # Debian's nginx is root's
SETTINGS = Path(__file__).with_name("nchan.conf")


@dataclass(frozen=True)
class Nchan:
    """One nginx with as many worker processes as asked for.

    Args:
        path: Where clients connect: by default each to a channel of its own.
    """

    name: str = "nchan"
    dialect: str = "plain"
    expected_us: float | None = 38.5
    processes: int = 2
    path: str = "/echo/{client}"

    def missing(self) -> str | None:
        if not shutil.which("nginx", path=PATH):
            return "nginx is not installed (Debian: apt-get install nginx)"
        return None if _module() else f"{PACKAGE} is not installed"

    def install(self) -> None:
        """Unpack Debian's package beside us.

        Installed, it would be switched on in the machine's own nginx, which is not ours to change.

        Raises:
            Missing: No nginx, or no such package (``apt-get update`` may be due).
        """
        folder = INSTALLED / "nchan"
        if not _module():
            folder.mkdir(parents=True, exist_ok=True)
            run(["apt-get", "download", "--quiet", PACKAGE], folder)
            (package,) = folder.glob(f"{PACKAGE}_*.deb")
            run(["dpkg-deb", "--extract", str(package), str(folder)])
        if lacking := self.missing():
            raise Missing(lacking)

    def versions(self) -> dict[str, str]:
        unpacked = list((INSTALLED / "nchan").glob(f"{PACKAGE}_*.deb"))
        if unpacked:
            return {PACKAGE: run(["dpkg-deb", "--field", str(unpacked[0]), "Version"]).strip()}
        return {PACKAGE: run(["dpkg-query", "--show", "--showformat=${Version}", PACKAGE])}

    @contextmanager
    def start(
        self, directory: Path, redis_url: str, workers: int
    ) -> Iterator[tuple[list[str], list[int]]]:
        """Where clients connect, and root pids."""
        port, log = free_port(), directory / "error.log"
        settings = SETTINGS.read_text()
        for word, value in {
            "MODULE": str(_module()),
            "WORKERS": str(workers),
            "FOLDER": str(directory),
            "REDIS": redis_url.removesuffix("/0"),
            "PORT": str(port),
        }.items():
            settings = settings.replace(word, value)
        (directory / "nginx.conf").write_text(settings)
        nginx = shutil.which("nginx", path=PATH) or "nginx"
        command = [nginx, "-p", str(directory), "-c", "nginx.conf", "-e", str(log)]
        with started(command, log) as process, redis.Redis.from_url(redis_url) as broker:
            wait_until(
                # Each worker listens to a channel of its own once it stands in contact with Redis.
                lambda: len(broker.pubsub_channels("nchan_worker:*")) == workers,
                "nchan's contact with Redis",
                process,
                log,
            )
            yield [f"ws://127.0.0.1:{port}{self.path}"], [process.pid]


def _module() -> Path | None:
    for root in (INSTALLED / "nchan", Path("/")):
        if (root / MODULE).is_file():
            return root / MODULE
    return None


if __name__ == "__main__":
    checking.main(Nchan())
