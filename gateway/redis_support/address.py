"""Where Redis is: the URL of the operator, checked and taken apart."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, urlsplit

from redis.asyncio.connection import parse_url

from gateway.errors import ConfigError
from gateway.redis_support.node import Node

SCHEMES: Final = ("redis", "rediss", "unix")
OPTIONS: Final = ("db", "username", "password")
TLS_OPTIONS: Final = (
    "ssl_ca_certs", "ssl_cert_reqs", "ssl_check_hostname", "ssl_certfile", "ssl_keyfile",
)  # fmt: skip
SWITCHES: Final = ("true", "yes", "on", "1", "false", "no", "off", "0")


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """One Redis node. ``path`` is a unix socket and excludes ``host`` and ``port``.

    Attributes:
        node: Common to all connections that are made with this address.
    """

    url: str
    host: str
    port: int
    path: str | None
    database: int
    username: str | None
    password: str | None
    tls: ssl.SSLContext | None
    node: Node = field(default_factory=Node, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"RedisAddress({self.display})"

    @property
    def display(self) -> str:
        """The address without its password, for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        where = self.path or f"{host}:{self.port}"
        scheme = "unix" if self.path else "rediss" if self.tls else "redis"
        return f"{scheme}://{where}/{self.database}"


def parse(url: str) -> RedisAddress:
    """Take a ``redis://``, ``rediss://`` or ``unix://`` URL apart.

    Raises:
        ConfigError: It is none of these, is malformed, or points at a Cluster or at Sentinels. The
            message names the setting and never quotes the URL, which may hold a password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigError("redis_url: its host is malformed") from None
    if "sentinel" in parts.scheme or "cluster" in parts.scheme:
        raise ConfigError(
            f"redis_url: {parts.scheme}:// is not supported yet: give one node as redis://, "
            "rediss:// or unix://"
        )
    if parts.scheme not in SCHEMES:
        raise ConfigError("redis_url does not begin with redis://, rediss:// or unix://")
    if "," in parts.netloc.rpartition("@")[2]:
        raise ConfigError("redis_url: several Redis nodes are not supported yet: give one node")
    _check(parts)
    options: dict[str, Any] = dict(parse_url(url))
    return RedisAddress(
        url=url,
        host=options.get("host", "localhost"),
        port=int(options.get("port", 6379)),
        path=options.get("path"),
        database=int(options.get("db", 0)),
        username=options.get("username"),
        password=options.get("password"),
        tls=_tls(options) if parts.scheme == "rediss" else None,
    )


def _check(parts: SplitResult) -> None:
    """Refuse what redis-py passes over in silence, or fails at only when it connects."""
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0 or parts.fragment:
        raise ConfigError(
            "redis_url: its port is not 1 to 65535 "
            "(if that is the password: write / ? # @ in it as %2F %3F %23 %40)"
        )
    if parts.scheme == "unix" and not parts.path:
        raise ConfigError("redis_url: unix:// needs the path of a socket")
    options = parse_qs(parts.query, keep_blank_values=True)
    database = options.get("db", [parts.path.strip("/") if parts.scheme != "unix" else ""])[0]
    if database and not (database.isascii() and database.isdecimal()):
        raise ConfigError("redis_url: its database is not a number from 0")
    known = OPTIONS + (TLS_OPTIONS if parts.scheme == "rediss" else ())
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ConfigError(f"redis_url: option {unknown[0]} is not one of {', '.join(known)}")
    for switch in options.get("ssl_check_hostname", []):
        if switch.lower() not in SWITCHES:
            raise ConfigError("redis_url: ssl_check_hostname is not true or false")


def _tls(options: dict[str, Any]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if options.get("ssl_certfile"):
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"redis_url: its certificates: {error.strerror or error}") from None
    if options.get("ssl_check_hostname") is False:
        context.check_hostname = False
    if options.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
