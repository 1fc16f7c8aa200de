"""The image, alone."""

from __future__ import annotations

import json
import subprocess
import time

from tests.compose.conftest import probe
from tests.support.compose import ComposeStack, docker
from tests.support.waiting import blocking_eventually

START_S = 2.0


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


def test_it_stops_cleanly_when_told_to(container: str) -> None:
    blocking_eventually(lambda: probe(container, "/readyz"), "readiness", 20)
    docker("stop", "--time", "30", container)

    assert docker("inspect", "--format", "{{.State.ExitCode}}", container).strip() == "0"


def test_its_probe_tells_what_is_answered_from_what_is_not(container: str) -> None:
    blocking_eventually(lambda: probe(container, "/livez"), "an answer", 20)

    assert not probe(container, "/nothing")


def test_it_is_healthy_while_it_is_alive_not_only_while_it_is_ready(image: str) -> None:
    form = "{{json .Config.Healthcheck.Test}}"

    assert json.loads(docker("image", "inspect", "--format", form, image))[-1] == "/livez"


def test_containers_may_drain_for_twenty_seconds_longer_than_workers(image: str) -> None:
    with ComposeStack(image) as stack:
        shipped = json.loads(stack.compose("config", "--format", "json", DRAIN_SECONDS=""))
    gateway = shipped["services"]["gateway"]

    drain_s = int(gateway["environment"]["GATEWAY_DRAIN_SECONDS"])
    assert gateway["stop_grace_period"] == f"{drain_s + 20}s"


def test_read_only_without_a_place_for_temporary_files_it_says_what_it_needs(image: str) -> None:
    """A traceback of ``tempfile`` before."""
    command = ["docker", "run", "--rm", "--read-only", image]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("gateway: cannot write temporary files to /tmp (")
    assert "--tmpfs /tmp" in line
