"""Where Redis is: the URL of the operator, checked and taken apart."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio.connection import parse_url

from gateway.errors import ConfigError

SCHEMES = ("redis", "rediss", "unix")


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """One Redis node. ``path`` is a unix socket and excludes ``host`` and ``port``."""

    url: str
    host: str
    port: int
    path: str | None
    database: int
    username: str | None
    password: str | None
    tls: ssl.SSLContext | None

    def __repr__(self) -> str:
        return f"RedisAddress({self.display})"

    @property
    def display(self) -> str:
        """The address without its password, for people."""
        where = self.path or f"{self.host}:{self.port}"
        scheme = "unix" if self.path else "rediss" if self.tls else "redis"
        return f"{scheme}://{where}/{self.database}"


def parse(url: str) -> RedisAddress:
    """Take a ``redis://``, ``rediss://`` or ``unix://`` URL apart.

    Raises:
        ConfigError: It is none of these, or points at a Cluster or at Sentinels.
    """
    scheme = urlsplit(url).scheme
    if "sentinel" in scheme or "cluster" in scheme:
        raise ConfigError(
            f"{scheme}:// is not supported yet: give one node as redis://, rediss:// or unix://"
        )
    if "," in urlsplit(url).netloc:
        raise ConfigError("several Redis nodes are not supported yet: give one node")
    if scheme not in SCHEMES:
        raise ConfigError("a Redis URL begins with redis://, rediss:// or unix://")
    try:
        options: dict[str, Any] = dict(parse_url(url))
    except ValueError as error:
        raise ConfigError(f"this is no Redis URL: {error}") from None
    return RedisAddress(
        url=url,
        host=options.get("host", "localhost"),
        port=int(options.get("port", 6379)),
        path=options.get("path"),
        database=int(options.get("db", 0)),
        username=options.get("username"),
        password=options.get("password"),
        tls=_tls(options) if scheme == "rediss" else None,
    )


def _tls(options: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    if options.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.get("ssl_certfile"):
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    return context
