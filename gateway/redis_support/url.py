"""The URL that an operator gives of Redis, checked and taken apart."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, unquote, urlencode, urlsplit

from redis.asyncio.connection import parse_url

from gateway.errors import ConfigError
from gateway.redis_support.address import CLUSTER, SENTINEL, RedisAddress, host_port
from gateway.redis_support.cluster import ClusterMap
from gateway.redis_support.cluster_nodes import ClusterNodes
from gateway.redis_support.sentinels import Sentinels
from gateway.redis_support.stream import REDIS_URL, Endpoint
from gateway.settings.values import Secret

SCHEMES: Final = ("redis", "rediss", "unix")
SENTINEL_PORT: Final = 26379
NODE_PORT: Final = 6379
OPTIONS: Final = ("db", "username", "password")
SENTINEL_OPTIONS: Final = ("sentinel_username", "sentinel_password")
TLS_OPTIONS: Final = (
    "ssl_ca_certs", "ssl_cert_reqs", "ssl_check_hostname", "ssl_certfile", "ssl_keyfile",
)  # fmt: skip
SWITCHES: Final = ("true", "yes", "on", "1", "false", "no", "off", "0")


def parse(url: str | Secret) -> RedisAddress:
    """Take a URL apart: ``redis://``, ``rediss://``, ``unix://``, with Sentinels, or of a Cluster.

    A Cluster is ``redis+cluster://[user:password@]host[:port],…``, any of its nodes; Sentinels are
    ``redis+sentinel://[user:password@]host[:port],…/primary[/db]``. Either may be ``rediss``. Who
    Sentinels let in stands in the options ``sentinel_username`` and ``sentinel_password``.

    Raises:
        ConfigError: It is none of these, or is malformed. The message names what it was given by,
            or else ``redis_url``, and never quotes the URL, which may hold a password.
    """
    given, name = (url, "") if isinstance(url, str) else (url.reveal(), url.name)
    try:
        return _parse(given, name or REDIS_URL)
    except _Wrong as error:
        raise ConfigError(f"{name or REDIS_URL}{error}") from None


class _Wrong(Exception):
    """Says what is wrong with a URL, and lacks in front what the URL was given by."""


def _parse(url: str, name: str) -> RedisAddress:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _Wrong(": its host is malformed") from None
    # REDIS:// is one, and so is one behind a space; redis-py does not take them.
    url = parts.scheme + url[url.find(":") :]
    if parts.scheme in ("redis" + CLUSTER, "rediss" + CLUSTER):
        return _of_cluster(parts, name)
    if parts.scheme in ("redis" + SENTINEL, "rediss" + SENTINEL):
        return _with_sentinels(parts, name)
    if parts.scheme not in SCHEMES:
        raise _Wrong(
            " does not begin with redis://, rediss://, unix://, redis+sentinel://, "
            "rediss+sentinel://, redis+cluster:// or rediss+cluster://"
        )
    if "," in parts.netloc.rpartition("@")[2]:
        raise _Wrong(
            ": several Redis nodes: give one node, Sentinels as "
            "redis+sentinel://host,host/primary, or a Cluster as redis+cluster://host,host"
        )
    _check(parts)
    return _of_node(url, parts)


def _of_node(url: str, parts: SplitResult, sentinels: Sentinels | None = None) -> RedisAddress:
    options: dict[str, Any] = dict(parse_url(url))
    address = RedisAddress(
        url=url,
        host=options.get("host", "localhost"),
        port=int(options.get("port", 6379)),
        path=options.get("path"),
        database=int(options.get("db", 0)),
        username=options.get("username"),
        password=options.get("password"),
        tls=_tls(options) if parts.scheme == "rediss" else None,
        locator=sentinels,
        sentinels=sentinels,
    )
    if sentinels is not None:
        sentinels.on_switch = address.node.switched
    return address


def _with_sentinels(parts: SplitResult, name: str) -> RedisAddress:
    login, at, hosts = parts.netloc.rpartition("@")
    primary, _, database = parts.path.strip("/").partition("/")
    if not primary:
        raise _Wrong(": it does not say which primary: redis+sentinel://host,host/PRIMARY")
    scheme = parts.scheme.removesuffix(SENTINEL)
    endpoints = [_endpoint(host) for host in hosts.split(",") if host]
    if not endpoints:
        raise _Wrong(": it names no Sentinel: redis+sentinel://HOST,HOST/primary")
    options = parse_qs(parts.query, keep_blank_values=True)
    theirs = {option: options.pop(option)[0] for option in SENTINEL_OPTIONS if option in options}
    node = parts._replace(
        scheme=scheme,
        netloc=login + at + host_port(*endpoints[0]),
        path=f"/{database}" if database else "",
        query=urlencode(options, doseq=True),
    )
    _check(node, also=SENTINEL_OPTIONS)
    url = node.geturl()
    facts: Mapping[str, Any] = dict(parse_url(url))
    tls = {option: facts[option] for option in TLS_OPTIONS if option in facts}
    sentinels = Sentinels(
        endpoints,
        unquote(primary),
        username=theirs.get("sentinel_username"),
        password=theirs.get("sentinel_password"),
        tls=(_tls(dict(facts)), tls) if scheme == "rediss" else None,
        given_by=name,
    )
    return _of_node(url, node, sentinels)


def _of_cluster(parts: SplitResult, name: str) -> RedisAddress:
    login, at, hosts = parts.netloc.rpartition("@")
    seeds = [_endpoint(host, NODE_PORT, "nodes") for host in hosts.split(",") if host]
    if not seeds:
        raise _Wrong(": it names no node of the Cluster: redis+cluster://HOST,HOST")
    scheme = parts.scheme.removesuffix(CLUSTER)
    node = parts._replace(scheme=scheme, netloc=login + at + host_port(*seeds[0]))
    _check(node)
    address = _of_node(node.geturl(), node)
    if address.database:
        raise _Wrong(": a Cluster has no database but 0")
    facts: Mapping[str, Any] = dict(parse_url(address.url))
    tls = {option: facts[option] for option in TLS_OPTIONS if option in facts}
    nodes = ClusterNodes(
        seeds,
        username=address.username,
        password=address.password,
        tls=None if address.tls is None else (address.tls, tls),
        given_by=name,
    )
    return replace(address, cluster=ClusterMap(nodes))


def _endpoint(given: str, default: int = SENTINEL_PORT, what: str = "Sentinels") -> Endpoint:
    try:
        parts = urlsplit(f"//{given}")
        port = default if parts.port is None else parts.port
    except ValueError:
        port = 0
    if not port or not parts.hostname or not _may_be_host(parts.hostname):
        raise _Wrong(
            f": one of its {what} is not host:port, with a port of 1 to 65535 "
            "(if that is the password: write / ? # @ in it as %2F %3F %23 %40)"
        )
    return parts.hostname, port


def _may_be_host(host: str) -> bool:
    """Whether DNS can have it: each label has 1 to 63 characters."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def _check(parts: SplitResult, *, also: tuple[str, ...] = ()) -> None:
    """Refuse what redis-py passes over in silence, or fails at only when it connects."""
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0 or parts.fragment:
        raise _Wrong(
            ": its port is not 1 to 65535 "
            "(if that is the password: write / ? # @ in it as %2F %3F %23 %40)"
        )
    if parts.hostname and not _may_be_host(parts.hostname):
        raise _Wrong(": its host is malformed")
    if parts.scheme == "unix" and not parts.path:
        raise _Wrong(": unix:// needs the path of a socket")
    options = parse_qs(parts.query, keep_blank_values=True)
    database = options.get("db", [parts.path.strip("/") if parts.scheme != "unix" else ""])[0]
    if database and not (database.isascii() and database.isdecimal()):
        raise _Wrong(": its database is not a number from 0")
    known = OPTIONS + also + (TLS_OPTIONS if parts.scheme == "rediss" else ())
    unknown = [name for name in options if name not in known]
    if unknown:
        raise _Wrong(f": option {unknown[0]} is not one of {', '.join(known)}")
    for switch in options.get("ssl_check_hostname", []):
        if switch.lower() not in SWITCHES:
            raise _Wrong(": ssl_check_hostname is not true or false")


def _tls(options: dict[str, Any]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if options.get("ssl_certfile"):
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except OSError as error:  # ssl.SSLError is one
        raise _Wrong(f": its certificates: {error.strerror or error}") from None
    if options.get("ssl_check_hostname") is False:
        context.check_hostname = False
    if options.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
