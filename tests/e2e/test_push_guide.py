"""Every curl line of the pages does what it says, against a gateway that runs."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.support.pages import DOCS, ROOT, blocks
from tests.support.serve import Served

GUIDE = DOCS / "guides" / "push-from-a-backend.md"
PAGES = [ROOT / "README.md", GUIDE]
CHANNELS = {"without_namespace": {"presence": True, "history_size": 100, "history_ttl": "10m"}}
KEY = "the-key"


def curl_lines(page: Path) -> list[str]:
    return [
        line
        for block in blocks(page, "bash")
        for line in block.splitlines()
        if line.startswith("curl ")
    ]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("curl")
    environment = {"GATEWAY_API_KEYS": KEY, "GATEWAY_CHANNEL": json.dumps(CHANNELS)}
    with Served(folder, environment=environment) as served:
        yield served


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_curl_lines_of_a_page_work(served: Served, page: Path) -> None:
    assert shutil.which("curl"), "curl is needed"
    with connect(served.ws_url) as client:
        assert client.response is not None
        variables = {
            "GATEWAY": served.url,
            "KEY": KEY,
            "ID": client.response.headers["Gateway-Connection-Id"],
            "PATH": "/usr/bin:/bin:/usr/local/bin",
        }
        for line in curl_lines(page):
            done = subprocess.run(
                ["bash", "-c", f"{line} --silent --show-error --fail-with-body --max-time 10"],
                env=variables, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, (line, done.stdout, done.stderr)

        assert client.recv(timeout=5) == "your order has shipped"


def test_the_pages_have_a_line_for_every_call() -> None:
    calls = [
        *("POST /@connections/$ID", "GET /@connections/$ID", "DELETE /@connections/$ID"),
        *("GET /@connections", "POST /@users/ali", "GET /@users/ali"),
        *("DELETE /@users/ali", "GET /@workers"),
    ]
    orders = "/@channels/orders"
    of_channels = [
        *("PUT /@connections/$ID/channels/orders", "DELETE /@connections/$ID/channels/orders"),
        *(f"POST {orders}", f"GET {orders}/history", f"DELETE {orders}/history"),
        *(f"GET {orders}/presence", f"GET {orders}/presence_stats", "GET /@channels"),
        *("POST /@broadcast", "POST /@batch"),
    ]
    for page in PAGES:
        shown = set()
        for line in curl_lines(page):
            method = line.split("-X ")[1].split()[0] if "-X " in line else "GET"
            shown.add(f"{method} {line.split('$GATEWAY')[1].split(chr(34))[0].split('?')[0]}")

        expected = {*calls, *of_channels} if page == GUIDE else set(calls)
        assert shown == expected, page.name
