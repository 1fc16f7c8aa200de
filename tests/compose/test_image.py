"""The image, alone."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from contextlib import AsyncExitStack

from websockets.asyncio.client import connect

from tests.compose.conftest import probe
from tests.support.compose import docker
from tests.support.waiting import blocking_eventually

START_S = 2.0
MANY_CLIENTS = 200  # so many that their closes are spread over the whole window


def test_it_is_ready_within_two_seconds(image: str) -> None:
    # The best of three: what is measured is the image, not what else this machine does.
    assert min(seconds_until_ready(image) for _ in range(3)) < START_S


def seconds_until_ready(image: str) -> float:
    began = time.monotonic()
    container = docker("run", "--detach", "--rm", image).strip()
    try:
        blocking_eventually(lambda: probe(container, "/readyz"), "readiness", 20)
        return time.monotonic() - began
    finally:
        docker("rm", "--force", container)


def test_it_does_not_run_as_root(container: str) -> None:
    assert docker("exec", container, "id", "-u").strip() == "10001"


def test_its_first_process_is_an_init(container: str) -> None:
    assert docker("exec", container, "cat", "/proc/1/comm").strip() == "tini"


async def test_it_drains_within_the_time_that_docker_stop_has(container: str) -> None:
    """Ten seconds, then SIGKILL: with a drain of thirty, its clients saw 1006."""
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    url = f"ws://{docker('inspect', '--format', form, container).strip()}:8000/communicate"
    await asyncio.to_thread(
        blocking_eventually, lambda: probe(container, "/readyz"), "readiness", 20
    )
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(connect(url, proxy=None)) for _ in range(MANY_CLIENTS)
        ]
        await asyncio.to_thread(docker, "stop", container)
        await asyncio.gather(*(client.wait_closed() for client in sockets))

        assert {client.close_code for client in sockets} == {3001}
    assert docker("inspect", "--format", "{{.State.ExitCode}}", container).strip() == "0"


def test_its_probe_tells_what_is_answered_from_what_is_not(container: str) -> None:
    blocking_eventually(lambda: probe(container, "/livez"), "an answer", 20)

    assert not probe(container, "/nothing")


def test_it_is_healthy_while_it_is_alive_not_only_while_it_is_ready(image: str) -> None:
    form = "{{json .Config.Healthcheck.Test}}"

    assert json.loads(docker("image", "inspect", "--format", form, image))[-1] == "/livez"


def test_read_only_without_a_place_for_temporary_files_it_says_what_it_needs(image: str) -> None:
    """A traceback of ``tempfile`` before."""
    command = ["docker", "run", "--rm", "--read-only", image]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("gateway: cannot write temporary files to /tmp (")
    assert "--tmpfs /tmp" in line
