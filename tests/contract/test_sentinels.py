"""Real Sentinels: who they let in, what they know, and over TLS."""

from __future__ import annotations

import select
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.errors import BrokerUnavailable, ConfigError
from gateway.protocol.leases import WorkerInfo
from gateway.redis_support.check import check
from gateway.redis_support.client import fence, publish
from gateway.redis_support.url import parse
from gateway.registry.redis import RedisRegistry
from gateway.worker.worker_ids import new_worker_id
from tests.contract.test_tls import serving_tls
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.sentinels import NAME, Sentinel
from tests.support.waiting import eventually


@contextmanager
def watched(folder: Path, primary_port: int, config: str = "") -> Iterator[Sentinel]:
    sentinel = Sentinel(folder / "sentinel", primary_port, config=config)
    try:
        sentinel.start()
        yield sentinel
    finally:
        sentinel.kill()


async def renew(url: str) -> int:
    """How many leases there are after one was taken by asyncio, and lost by a supervisor."""
    registry, me = RedisRegistry(parse(url), prefix="watched"), new_worker_id()
    try:
        leases = await registry.renew(me, WorkerInfo(edge=True, handler=True), 10.0)
        assert fence(parse(url), "watched", me, deadline_s=10.0)
        return len(leases.workers)
    finally:
        await registry.aclose()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Sentinels and nodes that ask for passwords, each for its own: their place."""
    folder = tmp_path_factory.mktemp("guarded")
    config = f"requirepass theirs\nsentinel auth-pass {NAME} of-nodes\n"
    server = RedisServer(folder)
    server.start()
    try:
        with server.client() as admin:
            admin.config_set("requirepass", "of-nodes")
        with watched(folder, server.port, config) as sentinel:
            yield f"127.0.0.1:{sentinel.port}/{NAME}"
    finally:
        server.kill()


async def test_sentinels_and_nodes_have_passwords_of_their_own(guarded: str) -> None:
    url = f"redis+sentinel://:of-nodes@{guarded}?sentinel_password=theirs"
    check(parse(url), "watched")

    assert await renew(url) == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+sentinel://:of-nodes@{}", "sentinel_username and sentinel_password"),
        ("redis+sentinel://:of-nodes@{}?sentinel_password=guess", "sentinel_password"),
        ("redis+sentinel://:guess@{}?sentinel_password=theirs", "lets nobody in like this"),
        ("redis+sentinel://:of-nodes@{}er?sentinel_password=theirs", "no primary that is called"),
    ],
)
def test_who_is_not_let_in_is_told_by_whom(guarded: str, url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        check(parse(url.format(guarded)), "watched")

    assert "guess" not in str(refused.value)


def test_a_supervisor_goes_on_when_it_is_not_let_in(guarded: str) -> None:
    """Red when what is an error of the configuration at a start ends everything later."""
    address = parse(f"redis+sentinel://:of-nodes@{guarded}?sentinel_password=changed")

    with pytest.raises(BrokerUnavailable, match="sentinel_password"):
        fence(address, "watched", new_worker_id(), deadline_s=10.0)
    with pytest.raises(BrokerUnavailable, match="sentinel_password"):
        publish(address, "nobody", b"", deadline_s=10.0)


def test_a_node_is_no_sentinel(redis_server: RedisServer) -> None:
    with pytest.raises(ConfigError, match="what it names are no Sentinels"):
        check(parse(f"redis+sentinel://127.0.0.1:{redis_server.port}/{NAME}"), "watched")


async def test_nobody_is_there() -> None:
    address = parse(f"redis+sentinel://127.0.0.1:{free_port()},no.such.host.invalid/{NAME}")
    with pytest.raises(BrokerUnavailable, match=f"no Sentinel says where {NAME} is"):
        check(address, "watched")
    with pytest.raises(BrokerUnavailable, match=f"no Sentinel says where {NAME} is"):
        await address.where()


async def test_sentinels_and_nodes_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the tickets of TLS 1.3 are there before anybody has asked."""
    shake = ssl.SSLSocket.do_handshake

    def until_they_are_here(sock: ssl.SSLSocket, block: bool = False) -> None:
        shake(sock, block)
        assert select.select([sock], [], [], 5.0)[0]

    monkeypatch.setattr(ssl.SSLSocket, "do_handshake", until_they_are_here)
    for port, certificate in serving_tls(tmp_path, "DNS:localhost,IP:127.0.0.1"):
        theirs = free_port()
        config = (
            f"tls-port {theirs}\ntls-cert-file {certificate}\ntls-key-file {tmp_path / 'key.pem'}\n"
            f"tls-ca-cert-file {certificate}\ntls-auth-clients no\ntls-replication yes\n"
        )
        with watched(tmp_path, port, config):
            url = f"rediss+sentinel://localhost:{theirs}/{NAME}?ssl_ca_certs={certificate}"
            check(parse(url), "watched")
            assert await renew(url) == 1

            unknown = f"rediss+sentinel://localhost:{theirs}/{NAME}"
            with pytest.raises(BrokerUnavailable, match="certificate"):
                await parse(unknown).where()


async def test_nobody_stays_with_the_node_of_before_unasked(redis_server: RedisServer) -> None:
    """Red when only those connections end that are used again."""
    address = parse(redis_server.url)
    registry = RedisRegistry(address, prefix="left", name="leaving")
    try:
        assert await registry.revision(new_worker_id()) is None
        with redis_server.client() as admin:

            def ours() -> list[str]:
                return [c["name"] for c in admin.client_list() if c["name"].startswith("leaving")]

            assert ours()
            address.node.switched()
            await eventually(lambda: not ours(), "the end of idle connections")
    finally:
        await registry.aclose()
