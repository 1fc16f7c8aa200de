"""The whole way to Redis over TLS: `rediss://` with a certificate of one's own."""

from __future__ import annotations

import select
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.broker.redis import RedisBroker
from gateway.broker.redis_cluster import ClusterBroker
from gateway.errors import BrokerUnavailable
from gateway.protocol.leases import WorkerInfo
from gateway.redis_support.check import check
from gateway.redis_support.client import fence
from gateway.redis_support.client import publish as publish_blocking
from gateway.redis_support.connection import RedisConnection
from gateway.redis_support.url import parse
from gateway.registry.redis import RedisRegistry
from tests.contract.test_broker import Collector, channel, publish, running
from tests.support.ids import new_worker_id
from tests.support.ports import free_port
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer, redis_binary
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def tls_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """A server that speaks TLS: its port, and the certificate to trust."""
    yield from serving_tls(tmp_path_factory.mktemp("tls"), "DNS:localhost,IP:127.0.0.1")


def certified(folder: Path, names: str) -> tuple[Path, list[str]]:
    """A certificate to trust, and what a server is told to have it."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-keyout", str(key), "-out", str(certificate), "-subj", "/CN=redis",
         "-addext", f"subjectAltName={names}"],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, [
        "--tls-cert-file", str(certificate), "--tls-key-file", str(key),
        "--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no",
    ]  # fmt: skip


def serving_tls(folder: Path, names: str) -> Iterator[tuple[int, Path]]:
    certificate, told = certified(folder, names)
    port = free_port()
    server = RedisServer(folder, "--tls-port", str(port), *told)
    try:
        server.start()
    except RuntimeError as error:
        if "tls" not in str(error).lower():
            raise
        pytest.skip(f"{redis_binary()} was built without TLS")
    try:
        yield port, certificate
    finally:
        server.kill()


async def test_broker_and_registry_work_over_tls(tls_redis: tuple[int, Path]) -> None:
    port, certificate = tls_redis
    address = parse(f"rediss://localhost:{port}/0?ssl_ca_certs={certificate}")
    inbox, name, me = Collector(), channel(), new_worker_id()
    async with running(RedisBroker(address), inbox) as broker:
        await broker.subscribe(name)
        await publish(broker, (name, b"over TLS"))
        await eventually(lambda: inbox.got == [(name, b"over TLS")], "the delivery")
    registry = RedisRegistry(address, prefix="tls")
    leases = await registry.renew(me, WorkerInfo(edge=True, handler=True), 10.0)
    await registry.aclose()

    assert list(leases.workers) == [me]
    check(address, "tls")


async def test_session_tickets_are_not_taken_for_a_reply(
    tls_redis: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of TLS 1.3 sends them right after the handshake, before anybody asks."""
    shake = ssl.SSLSocket.do_handshake

    def until_they_are_here(sock: ssl.SSLSocket, block: bool = False) -> None:
        shake(sock, block)
        assert select.select([sock], [], [], 5.0)[0]

    monkeypatch.setattr(ssl.SSLSocket, "do_handshake", until_they_are_here)
    port, certificate = tls_redis
    address = parse(f"rediss://localhost:{port}/0?ssl_ca_certs={certificate}")
    check(address, "tls")
    assert not fence(address, "tls", new_worker_id(), deadline_s=10.0)
    publish_blocking(address, "nobody", b"", deadline_s=10.0)


@pytest.fixture(scope="module")
def misnamed_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The same with a certificate for another name, as behind a proxy or a virtual address."""
    yield from serving_tls(tmp_path_factory.mktemp("other"), "DNS:redis.example")


async def test_a_name_need_not_be_checked_where_the_authority_is(
    misnamed_redis: tuple[int, Path],
) -> None:
    """Red before ``ssl_check_hostname`` was an option."""
    port, certificate = misnamed_redis
    url = f"rediss://localhost:{port}/0?ssl_ca_certs={certificate}"
    with pytest.raises(BrokerUnavailable, match="certificate"):
        await RedisConnection.connect(parse(url), deadline_s=10.0, name="nobody")
    with pytest.raises(BrokerUnavailable, match="certificate"):
        check(parse(url), "tls")
    address = parse(f"{url}&ssl_check_hostname=false")
    registry = RedisRegistry(address, prefix="misnamed")
    await registry.look()  # redis-py's connections
    await registry.aclose()
    connection = await RedisConnection.connect(address, deadline_s=10.0, name="nobody")
    connection.abort()
    check(address, "tls")
    stranger = parse(f"rediss://localhost:{port}/0?ssl_check_hostname=no")
    with pytest.raises(BrokerUnavailable, match="certificate"):  # the authority is checked still
        await RedisConnection.connect(stranger, deadline_s=10.0, name="nobody")


async def test_a_certificate_that_nobody_trusts_is_refused(tls_redis: tuple[int, Path]) -> None:
    port, _ = tls_redis
    address = parse(f"rediss://localhost:{port}/0")

    with pytest.raises(BrokerUnavailable):
        await RedisConnection.connect(address, deadline_s=10.0, name="nobody")


async def test_a_cluster_speaks_tls_at_every_node(
    tls_redis: tuple[int, Path], tmp_path: Path
) -> None:
    """The one that is asked first is one of three: each of them is reached at its own TLS port."""
    assert tls_redis  # else it is skipped: built without
    certificate, told = certified(tmp_path, "DNS:localhost,IP:127.0.0.1")
    told += ["--tls-cluster", "yes", "--tls-replication", "yes"]
    with RedisCluster(tmp_path, *told, replicas=0, node_timeout_ms=60_000) as cluster:
        first = cluster.nodes[0].tls_port
        address = parse(f"rediss+cluster://localhost:{first}?ssl_ca_certs={certificate}")
        check(address, "tls")
        inbox, names, me = Collector(), [channel() for _ in range(20)], new_worker_id()
        async with running(ClusterBroker(address), inbox) as broker:
            for name in names:
                await broker.subscribe(name)
            await publish(broker, *((name, b"over TLS") for name in names))
            await eventually(lambda: len(inbox.got) == len(names), "the deliveries")
        registry = RedisRegistry(address, prefix="tls")
        leases = await registry.renew(me, WorkerInfo(edge=True, handler=True), 10.0)
        await registry.aclose()

        assert list(leases.workers) == [me]
        assert fence(address, "tls", me, deadline_s=10.0)
