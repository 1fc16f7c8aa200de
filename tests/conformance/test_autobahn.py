"""RFC 6455 as Autobahn sees it, cases 1-7 and 10. See README.md for what is not plainly OK."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.autobahn import ROOT, Agent, Missing, autobahn
from tests.support.children import mortal
from tests.support.serve import Served

CASES = [f"{group}.*" for group in (1, 2, 3, 4, 5, 6, 7, 10)]
BINARY = ("1.2.*",)  # the text endpoint closes with 1003
FAST = "gateway.edge.sockets.picows_websocket:GatewayWebSocket"

Results = dict[str, dict[str, str]]


@contextmanager
def plain_uvicorn() -> Iterator[str]:
    """Our protocol class and a plain ASGI application under uvicorn's own command."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = ["uvicorn", "--fd", str(listener.fileno()), "--ws", FAST, "--log-level", "error"]
        process = subprocess.Popen(
            mortal([sys.executable, "-m", *command, "tests.support.apps.mirror:asgi"]),
            pass_fds=[listener.fileno()], cwd=ROOT,
        )  # fmt: skip
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    try:
        return run_all(tmp_path_factory.mktemp("autobahn"))
    except Missing as missing:
        pytest.skip(str(missing))


def run_all(folder: Path) -> Results:
    """Run every case against both servers.

    Raises:
        Missing: Not on this machine.
    """
    client = autobahn()
    served = Served(
        folder / "served", "tests.support.apps.mirror:gateway", "--workers", "1",
        environment={"GATEWAY_MESSAGE_BYTES": str(1 << 19)},
    )  # fmt: skip
    with served, plain_uvicorn() as plain:
        agents = [Agent("gateway", served.ws_url, BINARY), Agent("asgi", plain)]
        return client.run(folder, agents, CASES)


def not_ok(results: Results, agent: str) -> dict[str, str]:
    return {case: got for case, got in results[agent].items() if got != "OK"}


@pytest.mark.timeout(500)
@pytest.mark.parametrize(("agent", "count"), [("gateway", 239), ("asgi", 247)])
def test_no_case_fails(results: Results, agent: str, count: int) -> None:
    assert len(results[agent]) == count
    assert set(not_ok(results, agent).values()) <= {"NON-STRICT", "INFORMATIONAL"}, not_ok(
        results, agent
    )


@pytest.mark.timeout(500)
@pytest.mark.parametrize("agent", ["gateway", "asgi"])
def test_what_is_not_plainly_ok_is_explained(results: Results, agent: str) -> None:
    readme = (Path(__file__).parent / "README.md").read_text()
    explained = set(re.findall(r"`(\d+\.\d+\.\d+|\d+\.\d+)`", readme))

    assert set(not_ok(results, agent)) <= explained
