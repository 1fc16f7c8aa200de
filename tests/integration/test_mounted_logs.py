"""What a gateway within another application logs: as little of its users as on its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.children import mortal
from tests.support.ports import free_port
from tests.support.rawclient import raw_websocket
from tests.support.serve import ROOT
from tests.support.waiting import eventually

WORDS = "my-password-is-swordfish"


def ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ws/readyz", trust_env=False).is_success
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("host", ["", "structlog", "json", "verbose"])
async def test_a_handler_that_fails_shows_its_place_and_nothing_of_the_user(
    host: str, tmp_path: Path
) -> None:
    """Red when our loggers are structlog's: by default it prints every variable, the text too."""
    port, log = free_port(), tmp_path / "log"
    command = [sys.executable, "-m", "uvicorn", "tests.support.apps.hosted:app"]
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: ASYNC220
            mortal([*command, "--port", str(port)]),
            cwd=ROOT, env={"HOST_LOGGING": host, "PATH": "", "GATEWAY_ALLOWED_ORIGINS": "*"},
            stdout=out, stderr=out,
        )  # fmt: skip
    try:
        await eventually(lambda: ready(port), "the start", 20)
        async with raw_websocket(port, "/ws/communicate") as client:
            client.say(WORDS)
            assert (await client.rest())[-1].closing == (1011, "handler failed")
    finally:
        process.terminate()
        process.wait(20)

    shown = log.read_text()
    assert WORDS not in shown
    assert shown.count("handler failed") == 1
    assert "ValueError" in shown
    assert "hosted.py" in shown
