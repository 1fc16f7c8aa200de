"""A real Prometheus that scrapes gateways once a second."""

from __future__ import annotations

import json
import math
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.children import mortal
from tests.support.ports import free_port
from tests.support.waiting import blocking_eventually

START_S = 20.0

Labels = dict[str, str]


class Prometheus:
    """This machine's ``prometheus`` on a free port. A context manager.

    Args:
        ports: Of gateways on loopback; the job is ``gateway``, as the shipped alerts want it.
    """

    def __init__(self, folder: Path, ports: Sequence[int]) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.began_unix = time.time()
        self._folder = folder
        self._ports = ports
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, path: str, **parameters: str) -> Any:
        """What one call of its API returns.

        Raises:
            urllib.error.HTTPError: It refuses; the body says why.
        """
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def label_values(self, label: str, series: str) -> set[str]:
        """The values that a label has in some series, since the start."""
        found = self.ask("series", **{"match[]": series, "start": str(self.began_unix)})
        return {labels[label] for labels in found if label in labels}

    @property
    def age_s(self) -> float:
        """Seconds since the start."""
        return time.time() - self.began_unix

    def over_time(self, query: str) -> list[tuple[Labels, list[tuple[float, float]]]]:
        """The series of a query with its points: whole seconds since the start, and values.

        What is no number, or infinite, is left out.
        """
        found = self.ask(
            "query_range", query=query, step="1",
            start=str(self.began_unix), end=str(time.time()),
        )  # fmt: skip
        return [
            (
                series["metric"],
                [
                    (float(at) - self.began_unix, v)
                    for at, text in series["values"]
                    if math.isfinite(v := float(text))
                ],
            )
            for series in found["result"]
        ]

    def since_the_start(self, query: str) -> list[tuple[Labels, list[float]]]:
        """The same without the times."""
        return [(labels, [v for _, v in points]) for labels, points in self.over_time(query)]

    def __enter__(self) -> Prometheus:
        self._folder.mkdir(parents=True, exist_ok=True)
        targets = [f"127.0.0.1:{port}" for port in self._ports]
        jobs = [{"job_name": "gateway", "static_configs": [{"targets": targets}]}]
        every = {"scrape_interval": "1s", "scrape_timeout": "1s"}
        file = self._folder / "prometheus.json"  # which is YAML
        file.write_text(json.dumps({"global": every, "scrape_configs": jobs}))
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(
                mortal([
                    "prometheus", f"--config.file={file}",
                    f"--storage.tsdb.path={self._folder / 'tsdb'}",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                ]),
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            blocking_eventually(self._scrapes, "a scrape of every port", START_S)
        except BaseException:
            self._end()
            raise
        return self

    def _scrapes(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError((self._folder / "prometheus.log").read_text()[-2000:])
        try:
            up = self.ask("query", query="count(up == 1)")["result"]
        except OSError:
            return False
        return bool(up) and int(up[0]["value"][1]) == len(self._ports)

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
