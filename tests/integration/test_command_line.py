"""The command ``gateway`` inside the test's own process, beside workers and a real Redis."""

from __future__ import annotations

import asyncio
import json
import os
import tomllib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from websockets.asyncio.client import connect

from gateway.cli import main as cli
from gateway.process.run_file import RunFile, write_run_file
from gateway.protocol.ids import is_worker_id
from gateway.protocol.leases import WorkerInfo
from gateway.redis_support.url import parse
from gateway.registry.redis import RedisRegistry
from gateway.settings.config import Settings
from tests.integration.conftest import MakeSettings
from tests.integration.listing import entries
from tests.support.ids import new_worker_id
from tests.support.inprocess import cluster, in_process
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually, eventually_async

ROOT = Path(__file__).parents[2]
INFO = WorkerInfo(edge=True, handler=True, host="here", pid=7, envelope_version=2)


@dataclass(frozen=True, slots=True)
class Ended:
    """How the command ended, and what it printed."""

    code: object
    out: str
    err: str


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No settings but the test's own, and no running gateway but the test's own."""
    for name in [name for name in os.environ if name.startswith("GATEWAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def printed(*arguments: str) -> str:
    """What a command prints that succeeds."""
    done = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def lines_of(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed(*arguments, "--json").splitlines()]


async def listed(*arguments: str) -> list[dict[str, Any]]:
    """The rows of a listing: the command has an event loop of its own."""
    return await asyncio.to_thread(lines_of, *arguments)


@pytest.fixture
def entry_point(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Run what the installed script runs, and see how it ends."""

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr("sys.argv", ["gateway", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capfd.readouterr()
        return Ended(end.value.code, out, err)

    return run


def use(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Point the command at the Redis of these settings, as an operator would."""
    monkeypatch.setenv("GATEWAY_REDIS_URL", settings.redis_url.reveal())
    monkeypatch.setenv("GATEWAY_REDIS_PREFIX", settings.redis_prefix)


@pytest.fixture
async def registry(settings: MakeSettings) -> AsyncIterator[RedisRegistry]:
    """For leases of workers that do not run."""
    made = RedisRegistry(
        parse(settings().redis_url.reveal()), prefix=settings().redis_prefix, name="test"
    )
    yield made
    await made.aclose()


# What needs no gateway


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert printed("--version") == f"gateway {project['version']}\n"


def test_without_a_command_the_help_names_every_command() -> None:
    words = printed().split()

    assert {"serve", "config", "workers", "connections"} <= set(words)


def test_every_setting_is_printed_with_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('port = 9000\ntrace = true\nallowed_hosts = ["a.example", "b.example"]\n')
    monkeypatch.setenv("GATEWAY_ROLE", "edge")

    rows = {line.split()[0]: line.split()[1:] for line in printed_config(file)}

    assert rows["port"] == ["9000", str(file)]
    assert rows["trace"] == ["on", str(file)]
    assert rows["allowed_hosts"] == ["a.example,b.example", str(file)]
    assert rows["role"] == ["edge", "GATEWAY_ROLE"]
    assert rows["reload"] == ["off", "default"]
    assert rows["app"] == rows["trusted_proxies"] == ["-", "default"]


def printed_config(file: Path) -> list[str]:
    return printed("config", "--config", str(file)).splitlines()


def test_a_secret_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_REDIS_URL", "redis://:open-sesame@localhost/0")

    output = printed("config")

    assert "sesame" not in output
    assert "***" in output


# How it ends


def test_a_command_that_succeeds_ends_with_0(entry_point: Any) -> None:
    assert entry_point("config").code in (None, 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", "--port", "99999"], ["--port=99999", "0 to 65535"]),
        (["serve", "--bogus"], ["--bogus", "(see gateway serve --help)"]),
        (["serve", "--prot", "1"], ["--prot", "--port", "(see gateway serve --help)"]),
        (["bogus"], ["bogus", "(see gateway --help)"]),
        (["send"], ["'CONNECTION_ID'", "(see gateway send --help)"]),
        (["send", "id", "text", "--port", "0"], ["--port", "(see gateway send --help)"]),
        (["workers", "--port", "x"], ["--port", "(see gateway workers --help)"]),
        (["config", "--config", "no-such-file.toml"], ["no-such-file.toml", "No such file"]),
        (["workers"], ["GATEWAY_REDIS_URL"]),
        (
            ["connections", "--worker", "nobody", "--redis-url", "redis://127.0.0.1:1"],
            ["nobody", "not a worker id"],
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    entry_point: Any, arguments: list[str], words: list[str]
) -> None:
    ended = entry_point(*arguments)

    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert all(word in ended.err for word in words), ended.err


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("GATEWAY_REDIS_URL", "http://redis", "GATEWAY_REDIS_URL does not begin with"),
        ("GATEWAY_API_KEYS_FILE", "/no/such/file", "No such file"),
        ("GATEWAY_ADMIN_BIND", "127.0.0.1:8000", "needs another port than GATEWAY_PORT"),
        ("GATEWAY_ALLOWED_ORIGINS", "https://a.example/chat", "is no origin"),
        ("GATEWAY_ALLOWED_HOSTS", "a.example:8000", "is no host"),
        ("GATEWAY_TRUSTED_PROXIES", "nginx", "is no address, network"),
    ],
)
def test_what_could_not_be_served_is_no_configuration(
    monkeypatch: pytest.MonkeyPatch, entry_point: Any, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)

    ended = entry_point("config")

    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err


def test_what_is_said_of_traces_is_shown_and_refused_as_settings_are(
    monkeypatch: pytest.MonkeyPatch, entry_point: Any
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    assert "OTEL_" not in entry_point("config").out

    monkeypatch.setenv("GATEWAY_OPENTELEMETRY", "on")
    rows = [line.split() for line in entry_point("config").out.splitlines()]
    assert ["OTEL_TRACES_SAMPLER", "always_on", "OTEL_TRACES_SAMPLER"] in rows

    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "sometimes")
    for command in ("config", "serve"):
        ended = entry_point(command)
        assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
        assert "OTEL_TRACES_SAMPLER='sometimes' is not one of always_on" in ended.err


def test_a_redis_that_does_not_answer_is_one_line_and_exit_code_1(entry_point: Any) -> None:
    port = free_port()

    ended = entry_point("workers", "--redis-url", f"redis://127.0.0.1:{port}/0")

    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert str(port) in ended.err


# The lists


async def test_every_worker_is_a_row(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, settings())
    async with cluster(settings(lease_seconds=20), 2) as workers:
        rows = await listed("workers")

        assert [row["worker"] for row in rows] == sorted(w.worker.me for w in workers)
        assert {row["pid"] for row in rows} == {os.getpid()}
        assert {(row["role"], row["state"]) for row in rows} == {("both", "live")}
        assert all(0 < row["lease_s"] <= 20 for row in rows)


async def test_a_role_is_shown_by_its_name(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, settings())
    async with (
        in_process(settings(role="edge")) as edge,
        in_process(settings(role="handler")) as handler,
    ):
        roles = {row["worker"]: row["role"] for row in await listed("workers")}

        assert roles == {edge.worker.me: "edge", handler.worker.me: "handler"}


async def test_connections_are_counted_at_their_worker(
    settings: MakeSettings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, settings())
    async with (
        cluster(settings(), 2) as [one, other],
        connect(one.ws_url),
        connect(one.ws_url),
    ):
        await eventually(
            lambda: len(entries(redis_server, settings(), one.worker.me)) == 2, "registration"
        )
        counts = {row["worker"]: row["connections"] for row in await listed("workers")}

        assert counts == {one.worker.me: 2, other.worker.me: 0}


async def test_a_worker_that_says_so_is_leaving(
    settings: MakeSettings, registry: RedisRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, settings())
    await registry.renew(new_worker_id(), replace(INFO, leaving=True), 10)

    assert [row["state"] for row in await listed("workers")] == ["leaving"]


async def test_a_worker_that_has_stopped_renewing_is_lapsed_and_then_gone(
    settings: MakeSettings, registry: RedisRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, settings())
    frozen = new_worker_id()
    await registry.renew(frozen, INFO, 0.01)

    async def lapsed() -> bool:
        return [row["state"] for row in await listed("workers")] == ["lapsed"]

    await eventually_async(lapsed, "the end of the lease")
    seen_end_ms, _ = (await registry.look()).workers[frozen]
    assert await registry.claim(frozen, seen_end_ms)

    assert await listed("workers") == []


async def test_a_connection_is_listed_with_what_is_known_of_it(
    settings: MakeSettings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, settings())
    async with in_process(settings()) as served, connect(served.ws_url) as client:
        await eventually(
            lambda: entries(redis_server, settings(), served.worker.me), "registration"
        )
        [row] = await listed("connections")

        assert client.response is not None
        assert row["connection"] == client.response.headers["gateway-connection-id"]
        assert (row["user"], row["address"]) == (None, "127.0.0.1")
        age = datetime.now(UTC) - datetime.fromisoformat(row["since"])
        assert timedelta() <= age < timedelta(seconds=30)


async def test_connections_of_one_worker_can_be_asked_for(
    settings: MakeSettings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, settings())
    async with (
        cluster(settings(), 2) as workers,
        connect(workers[0].ws_url),
        connect(workers[1].ws_url),
    ):
        one, other = (served.worker.me for served in workers)
        await eventually(
            lambda: all(entries(redis_server, settings(), worker) for worker in (one, other)),
            "registration",
        )

        assert owners(await listed("connections")) == {one, other}
        assert owners(await listed("connections", "--worker", one)) == {one}


def owners(rows: list[dict[str, Any]]) -> set[str]:
    return {row["connection"].partition(".")[0] for row in rows}


async def test_people_get_a_table(settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, settings())
    async with in_process(settings()) as served:
        head, row = (await asyncio.to_thread(printed, "workers")).splitlines()

        assert head.split()[:4] == ["worker", "role", "state", "host"]
        assert row.split()[:3] == [served.worker.me, "both", "live"]
        assert head.index("role") == row.index("both")
        assert is_worker_id(row[: head.index("role")].strip())


def test_an_empty_list_says_none(settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, settings())

    assert printed("connections") == "none\n"


def test_an_empty_list_is_no_line_of_json(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, settings())

    assert printed("connections", "--json") == ""


# Where the registry is, without a setting


async def test_a_running_gateway_is_found_by_its_run_file(settings: MakeSettings) -> None:
    known = settings()
    write_run_file(RunFile(os.getpid(), 8000, known.redis_url.reveal(), known.redis_prefix))
    async with in_process(known) as served:
        assert [row["worker"] for row in await listed("workers")] == [served.worker.me]


def test_of_several_running_gateways_none_is_guessed(entry_point: Any) -> None:
    write_run_file(RunFile(os.getpid(), 8001, "unix:///one.sock", "gw"))
    write_run_file(RunFile(os.getppid(), 8002, "unix:///other.sock", "gw"))

    ended = entry_point("workers")

    assert ended.code == 2
    assert all(word in ended.err for word in ("8001", "8002", "GATEWAY_REDIS_URL"))
