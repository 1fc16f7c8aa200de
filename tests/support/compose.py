"""The shipped docker-compose.yml on a real engine, under a name and a port of its own."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.ports import free_port
from tests.support.serve import ROOT

COMMAND_S = 300.0
STOP_S = "5"
DRAIN_S = "4"


def missing_engine() -> str | None:
    """Why this machine cannot run the stack; None when it can."""
    for command in (["docker", "compose", "version"], ["docker", "info"]):
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", "") or str(error)
            return f"no Docker engine answers: `{' '.join(command)}`: {said.strip()[-200:]}"
    return None


def docker(*arguments: str) -> str:
    """Run one command of the engine. Its standard output; an error says what it wrote."""
    return _run(["docker", *arguments], dict(os.environ))


def new_name(kind: str) -> str:
    return f"gateway-{kind}-{secrets.token_hex(4)}"


class ComposeStack:
    """One project. A context manager: entering starts nothing, leaving removes everything.

    Args:
        image: Of the gateway, built already.
        profile: Of docker-compose.yml; empty takes what plain ``docker compose`` takes.
        override: A file beside docker-compose.yml, from the repository's root.
        project: One that there is, instead of a new one.
        variables: More of them for the files.
    """

    def __init__(
        self,
        image: str,
        *,
        profile: str = "",
        override: str = "",
        project: str = "",
        **variables: str,
    ) -> None:
        self.project = project or new_name("test")
        self.port = free_port()
        own = ("COMPOSE_", "GATEWAY_", "HANDLER_IMAGE")
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(own)},
            "PORT": str(self.port),
            "IMAGE": image,
            "DRAIN_SECONDS": DRAIN_S,
            **variables,
        }
        self._command = ["docker", "compose", "--project-name", self.project]
        if override:
            self._command += ["--file", "docker-compose.yml", "--file", override]
        if profile:
            self._command += ["--profile", profile]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/communicate"

    def compose(self, *arguments: str, **variables: str) -> str:
        """Run ``docker compose`` in the repository, with more variables for the file."""
        return _run([*self._command, *arguments], {**self._environment, **variables})

    def up(self, *arguments: str, **variables: str) -> None:
        """Bring the stack to what is asked for, and wait until all of it is healthy."""
        self.compose("up", "--detach", "--no-build", "--wait", *arguments, **variables)

    def down(self) -> None:
        self.compose("down", "--volumes", "--timeout", STOP_S)

    def containers(self, service: str) -> list[str]:
        """The ids of its running containers, short, as a container knows itself."""
        found = docker("ps", "--quiet", *self._labels(service))
        return sorted(found.split())

    def started_at(self, service: str) -> list[str]:
        """When its containers were started, and which they are: changes with any restart."""
        form = "{{.Id}} {{.State.StartedAt}} {{.RestartCount}}"
        return sorted(docker("inspect", "--format", form, c) for c in self.containers(service))

    def ask(self, service: str, *arguments: str) -> list[dict[str, Any]]:
        """The rows of a command of ``gateway`` in the first container of a service."""
        out = self.compose("exec", "-T", service, "gateway", *arguments, "--json")
        return [json.loads(line) for line in out.splitlines()]

    def hosts(self, service: str = "gateway") -> dict[str, str]:
        """Each living worker, and the container it runs in."""
        rows = self.ask(service, "workers")
        return {row["worker"]: row["host"] for row in rows if row["state"] == "live"}

    def leftovers(self) -> str:
        """Everything of this project that the engine still has."""
        label = self._labels()
        return "".join(
            docker(kind, "ls", "--quiet", *label, *(["--all"] if kind == "container" else []))
            for kind in ("container", "network", "volume")
        )

    def _labels(self, service: str = "") -> list[str]:
        labels = ["--filter", f"label=com.docker.compose.project={self.project}"]
        if service:
            labels += ["--filter", f"label=com.docker.compose.service={service}"]
        return labels

    def __enter__(self) -> ComposeStack:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            print(self.compose("logs", "--no-color", "--tail", "40"))
        self.down()


def build(tag: str, folder: Path = ROOT) -> None:
    """Build the image of a folder."""
    docker("build", "--tag", tag, str(folder))


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=COMMAND_S,
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = (done.stdout + done.stderr)[-3000:]
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{said}")
    return done.stdout
