"""``gateway send`` and ``gateway disconnect``: the receipt, printed and as the exit code."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import gateway
from gateway import Connection, Gateway, Message, Receipt
from gateway.cli import main as cli
from gateway.errors import ConfigError
from gateway.process.run_file import RunFile, write_run_file
from gateway.settings.config import Settings
from tests.integration.applications import talkative
from tests.integration.conftest import MakeSettings
from tests.integration.test_http_api import only_connection
from tests.integration.test_slow_readers import stop_reading
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.inprocess import in_process
from tests.support.logs import capture_logs
from tests.support.rawclient import close_frame, raw_websocket
from tests.support.waiting import eventually, eventually_async


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No running gateway but the test's own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


async def run(settings: Settings, *arguments: str, stdin: bytes = b"") -> Result:
    """Run the command against the Redis of these settings."""
    environment = {
        "GATEWAY_REDIS_URL": settings.redis_url.reveal(),
        "GATEWAY_REDIS_PREFIX": settings.redis_prefix,
        "GATEWAY_LEASE_SECONDS": str(settings.lease_seconds),
    }
    return await asyncio.to_thread(
        lambda: CliRunner().invoke(cli.app, arguments, input=stdin, env=environment)
    )


async def test_what_is_written_is_said_and_ends_with_0(settings: MakeSettings) -> None:
    async with in_process(own := settings()) as served, raw_websocket(served.port) as client:
        done = await run(own, "send", only_connection(served), "grüße")

        assert (done.stdout, done.exit_code) == ("written\n", 0)
        assert await client.texts(1) == ["grüße"]


async def test_a_dash_reads_standard_input_as_it_is(settings: MakeSettings) -> None:
    async with in_process(own := settings()) as served, raw_websocket(served.port) as client:
        await run(own, "send", only_connection(served), "-", stdin="zwei\nZeilen ü\n".encode())

        assert await client.texts(1) == ["zwei\nZeilen ü\n"]


async def test_the_same_key_writes_once(settings: MakeSettings) -> None:
    async with in_process(own := settings()) as served, raw_websocket(served.port) as client:
        connection = only_connection(served)
        for _ in range(2):
            done = await run(own, "send", connection, "once", "--key", "k")
            assert done.stdout == "written\n"
        await run(own, "send", connection, "last")

        assert await client.texts(2) == ["once", "last"]


@pytest.mark.parametrize("command", [["send", "x", "text"], ["disconnect", "x"]])
async def test_what_is_gone_ends_with_3(settings: MakeSettings, command: list[str]) -> None:
    done = await run(settings(), *command)

    assert (done.stdout, done.exit_code) == ("gone\n", 3)


async def test_what_is_slow_ends_with_4(settings: MakeSettings) -> None:
    own = settings(outbox_bytes=100_000)
    async with (
        in_process(own, talkative()) as served,
        raw_websocket(served.port) as client,
    ):
        await stop_reading(served, client)

        done = await run(own, "send", only_connection(served), "-", stdin=b"x" * 100_000)

    assert (done.stdout, done.exit_code) == ("slow\n", 4)


async def test_what_nobody_knows_ends_with_5(settings: MakeSettings) -> None:
    async with in_process(own := settings(lease_seconds=300)):
        done = await run(own, "send", new_connection_id(new_worker_id()), "text")

    assert (done.stdout, done.exit_code) == ("unreachable\n", 5)


@pytest.mark.parametrize(
    ("options", "closed"),
    [
        ([], (3503, "disconnected")),
        (["--code", "4000", "--reason", "see you"], (4000, "see you")),
    ],
)
async def test_disconnect_closes_with_this_code_and_reason(
    settings: MakeSettings, options: list[str], closed: tuple[int, str]
) -> None:
    async with (
        in_process(own := settings()) as served,
        connect(served.ws_url, proxy=None) as client,
    ):
        await eventually(lambda: len(served.worker.parts.hub) == 1, "the connection")
        closing = asyncio.create_task(run(own, "disconnect", only_connection(served), *options))
        assert await client.recv() == "Bye!!!"
        with pytest.raises(ConnectionClosed) as ended:
            await client.recv()

        assert (await closing).stdout == "written\n"
        assert ended.value.rcvd is not None
        assert (ended.value.rcvd.code, ended.value.rcvd.reason) == closed


@pytest.mark.parametrize(
    ("command", "stdin", "words"),
    [
        (["send", "x", "-"], b"\xff", "not UTF-8"),
        (["disconnect", "x", "--code", "1001"], b"", "close code 1001"),
        (["disconnect", "x", "--reason", ""], b"", "close reason"),
    ],
)
async def test_what_cannot_be_sent_is_one_line_and_exit_code_2(
    settings: MakeSettings, command: list[str], stdin: bytes, words: str
) -> None:
    done = await run(settings(), *command, stdin=stdin)

    assert done.exit_code == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


async def test_a_text_that_is_too_long_is_one_line_and_exit_code_2(settings: MakeSettings) -> None:
    async with in_process(own := settings()) as served, raw_websocket(served.port):
        done = await run(own, "send", only_connection(served), "-", stdin=b"x" * (1 << 20))

    assert done.exit_code == 2
    assert "over the limit" in done.stderr


async def test_a_running_gateway_is_found(settings: MakeSettings) -> None:
    own = settings()
    write_run_file(RunFile(os.getpid(), 8000, own.redis_url.reveal(), own.redis_prefix))
    async with in_process(own) as served, raw_websocket(served.port):
        command = ["send", only_connection(served), "found"]
        done = await asyncio.to_thread(lambda: CliRunner().invoke(cli.app, command))

    assert done.stdout == "written\n"


async def test_of_a_running_gateway_the_lease_is_known(settings: MakeSettings) -> None:
    own = settings(lease_seconds=1)
    url, prefix = own.redis_url.reveal(), own.redis_prefix
    write_run_file(RunFile(os.getpid(), 8000, url, prefix, own.lease_seconds))
    command = ["send", new_connection_id(new_worker_id()), "text"]

    async def gone() -> bool:
        done = await asyncio.to_thread(lambda: CliRunner().invoke(cli.app, command))
        return done.stdout == "gone\n"

    async with in_process(own):  # an absence of ten seconds would be believed too late for this
        await eventually_async(gone, "belief in its absence")


async def test_a_port_names_the_gateway_that_is_meant(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when a setting, or another gateway that runs, is asked instead."""
    own = settings()
    monkeypatch.setenv("GATEWAY_REDIS_URL", "redis://127.0.0.1:1/0")
    write_run_file(RunFile(os.getppid(), 8001, "unix:///other.sock", "gw"))
    write_run_file(RunFile(os.getpid(), 8000, own.redis_url.reveal(), own.redis_prefix))
    async with in_process(own) as served, raw_websocket(served.port) as client:
        connection = only_connection(served)
        for command in (["send", connection, "1"], ["disconnect", connection]):
            done = await asyncio.to_thread(
                CliRunner().invoke, cli.app, [*command, "--port", "8000"]
            )
            assert done.stdout == "written\n"
        assert await client.texts(1) == ["1"]


async def test_a_client_without_an_address_finds_the_gateway_of_this_folder(
    settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = settings()
    url, prefix = own.redis_url.reveal(), own.redis_prefix
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="give its redis_url"):
        gateway.client()
    write_run_file(RunFile(os.getppid(), 8001, "unix:///other.sock", "gw", 10.0, "/elsewhere"))
    write_run_file(RunFile(os.getpid(), 8000, url, prefix, 10.0, str(tmp_path)))

    async with in_process(own) as served, raw_websocket(served.port), gateway.client() as client:
        assert await client.send(only_connection(served), "x") is Receipt.WRITTEN


# One stuck client


async def test_of_one_connection_its_owner_says_what_waits_for_it(settings: MakeSettings) -> None:
    own = settings(outbox_bytes=1_000_000)
    async with in_process(own, talkative()) as served, raw_websocket(served.port) as client:
        await stop_reading(served, client)
        connection = only_connection(served)
        [member] = served.worker.parts.hub
        told = member.particulars()
        assert told is not None
        assert told.waiting_bytes is not None

        done = await run(own, "connections", connection, "--json")
        row = json.loads(done.stdout)
        text = await run(own, "connections", connection)

        assert row["waiting_bytes"] == told.waiting_bytes > 0
        assert row["received"] == row["sent"] >= 1
        assert (row["unanswered"], row["handled_by"]) == (0, served.worker.me)
        assert (row["worker"], row["address"]) == (served.worker.me, "127.0.0.1")
        assert row["idle_s"] >= 0
        assert f"waiting_bytes  {told.waiting_bytes}\n" in text.stdout


async def test_the_age_of_a_ping_without_an_answer_is_told(settings: MakeSettings) -> None:
    own = settings()
    async with (
        in_process(own, ws_ping_interval=1.0, ws_ping_timeout=60) as served,
        raw_websocket(served.port),  # it answers no ping
    ):
        [member] = served.worker.parts.hub
        told = member.particulars()
        assert told is not None
        assert told.ping_unanswered_ms is None

        def age_ms() -> int:
            told = member.particulars()
            return (told is not None and told.ping_unanswered_ms) or 0

        await eventually(lambda: age_ms() > 300, "the age")
        done = await run(own, "connections", only_connection(served), "--json")

        assert json.loads(done.stdout)["ping_age_s"] >= 0.3


async def test_messages_that_wait_for_a_handler_are_told(settings: MakeSettings) -> None:
    app, release = Gateway(), asyncio.Event()

    @app.on_connect
    async def welcome(connection: Connection) -> str:
        return "ali"

    @app.on_message
    async def wait(message: Message) -> None:
        await release.wait()

    async with in_process(own := settings(), app) as served, raw_websocket(served.port) as client:
        client.say("1")
        client.say("2")
        await eventually(lambda: served.worker.parts.dispatcher.unanswered == 2, "both")
        row = json.loads((await run(own, "connections", only_connection(served), "--json")).stdout)
        release.set()

    assert (row["received"], row["sent"], row["unanswered"], row["user"]) == (2, 0, 2, "ali")


async def test_of_a_connection_that_is_gone_that_is_said(settings: MakeSettings) -> None:
    done = await run(settings(), "connections", "x")

    assert (done.stdout, done.exit_code) == ("gone\n", 3)


async def test_opens_and_closes_are_logged_for_those_who_debug(settings: MakeSettings) -> None:
    async with in_process(settings()) as served:
        with capture_logs() as logs:
            async with raw_websocket(served.port) as client:
                connection = only_connection(served)
                client.send(close_frame(1000))
                await client.rest()
            await eventually(lambda: not len(served.worker.parts.hub), "its end")

    mine = [line for line in logs if line.get("connection_id") == connection]
    assert [(line["event"], line["log_level"], line.get("code")) for line in mine] == [
        ("connection opened", "debug", None),
        ("connection closed", "debug", 1000),
    ]
