"""The shipped units under a real systemd, with all of their hardening."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.close_codes import DRAINED
from tests.support import rawclient
from tests.support.ports import free_port
from tests.support.rawclient import raw_client, raw_websocket
from tests.support.redis_server import RedisServer
from tests.support.serve import ROOT
from tests.support.systemd import SERVED, Systemd, lacking
from tests.support.waiting import eventually, eventually_async

UNITS = ROOT / "deploy" / "systemd"
SERVICE = "gateway@both.service"
SOCKET = "gateway@both.socket"
APPLICATION = """
from gateway import Gateway, Message

gateway = Gateway()


@gateway.on_message
async def answer(message: Message) -> str:
    return "{}"
"""
SOON_S = 30.0  # however busy the machine is

_LACKING = lacking()
pytestmark = pytest.mark.skipif(_LACKING is not None, reason=str(_LACKING))


def changed(text: str, *changes: tuple[str, str]) -> str:
    """A line that is to be changed and is not there is an error: then they have drifted."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def folder(tmp_path: Path, own_redis: RedisServer, port: int) -> Path:
    """The units and the settings as they are shipped, with other paths and ports."""
    made = tmp_path / "srv"
    (made / "units").mkdir(parents=True)
    (made / "gateway").mkdir()
    (made / "etc").mkdir()
    service = changed(
        (UNITS / "gateway@.service").read_text(),
        ("=/etc/gateway/common.env", f"={SERVED}/etc/common.env"),
        ("=-/etc/gateway/", f"=-{SERVED}/etc/"),
        ("/opt/gateway/bin/gateway serve", f"{SERVED}/python/bin/python3 -m gateway serve"),
        ("StandardOutput=journal", f"StandardOutput=append:{SERVED}/service.log"),  # there is none
        ("\nRestartSec=2", "\nRestartSec=100ms"),
    )
    (made / "units" / "gateway@.service").write_text(service)
    socket = changed(
        (UNITS / "gateway@.socket").read_text(), ("127.0.0.1:8000", f"127.0.0.1:{port}")
    )
    (made / "units" / "gateway@.socket").write_text(socket)
    settings = changed(
        (UNITS / "common.env").read_text(),
        ("redis://127.0.0.1:6379/0", own_redis.url),
        ("GATEWAY_DRAIN_SECONDS=30", "GATEWAY_DRAIN_SECONDS=1"),
        ("GATEWAY_WORKERS=2", "GATEWAY_WORKERS=1"),
        ("#GATEWAY_APP=", "GATEWAY_APP="),
        ("127.0.0.1:9000", "127.0.0.1:0"),
    )
    python = (
        f"PYTHONHOME={SERVED}/python\nPYTHONPATH={SERVED}/tree:{SERVED}/packages\n"
        f"LD_LIBRARY_PATH={SERVED}/python/lib\n"  # where it is a shared library
    )
    (made / "etc" / "common.env").write_text(settings + python)
    return made


@pytest.fixture
def systemd(folder: Path) -> Iterator[Systemd]:
    with Systemd(folder) as running:
        yield running


def write_application(folder: Path, answer: str) -> None:
    (folder / "gateway" / "chat.py").write_text(APPLICATION.format(answer))


async def answer_of(port: int) -> str:
    """What a client is answered that tries again at a 503 of a worker that comes or goes, and when
    it loses one that is killed. That nobody listens is an error.
    """
    async with asyncio.timeout(SOON_S):
        while True:
            async with raw_client(port) as client:
                with suppress(asyncio.IncompleteReadError, ConnectionResetError, BrokenPipeError):
                    response = await client.upgrade()
                    if response.status == 101:
                        client.say("hello")
                        return (await client.texts(1))[0]
                    assert response.status == 503, response


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes first waits in the socket for the whole start."""
    monkeypatch.setattr(rawclient, "ANSWER_S", SOON_S)


async def test_a_service_is_started_by_its_socket_reloaded_replaced_and_drained(
    systemd: Systemd, folder: Path, port: int
) -> None:
    write_application(folder, "first")
    systemd.ctl("start", SOCKET)
    assert systemd.shown(SERVICE, "ActiveState") == "inactive"
    assert await answer_of(port) == "first"
    await eventually(lambda: systemd.shown(SERVICE, "ActiveState") == "active", "readiness", SOON_S)
    first = systemd.shown(SERVICE, "MainPID")

    write_application(folder, "second")
    systemd.ctl("reload", SERVICE)

    async def is_new() -> bool:
        return await answer_of(port) == "second"  # a port that is closed meanwhile raises

    def old_has_gone() -> bool:  # until then both take sockets
        return "worker stopped" in (folder / "service.log").read_text()

    await eventually_async(is_new, "the new code", SOON_S)
    await eventually(old_has_gone, "the end of the old worker", SOON_S)
    assert systemd.shown(SERVICE, "MainPID") == first

    systemd.kill_main(SERVICE)  # whose workers live on for a moment
    assert await answer_of(port) == "second"
    await eventually(
        lambda: systemd.shown(SERVICE, "MainPID") not in (first, "0"), "another process", SOON_S
    )
    assert systemd.shown(SERVICE, "NRestarts") == "1"
    await eventually(
        lambda: systemd.shown(SERVICE, "ActiveState") == "active", "a new start", SOON_S
    )
    assert await answer_of(port) == "second"

    async with raw_websocket(port) as client:
        client.say("hello")
        await client.texts(1)
        systemd.ctl("stop", SOCKET, SERVICE)
        closed = (await client.rest())[-1]
        assert closed.payload[:2] == DRAINED.code.to_bytes(2, "big")
    assert systemd.shown(SERVICE, "Result") == "success"
