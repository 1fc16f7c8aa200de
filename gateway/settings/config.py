"""The operator's settings: what there is to set, checked at start, then immutable.

docs/reference/configuration.md lists them all; a test compares. Where each comes from is in
``gateway.settings.sources``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from gateway.protocol.deadlines import LEASE_S, MAX_LEASE_S
from gateway.protocol.subset import SUBSET
from gateway.settings import credential_lists, namespaces, tokens
from gateway.settings import values as value
from gateway.settings.namespaces import Namespaces
from gateway.settings.tokens import TokenOptions
from gateway.settings.values import Parser, Secret

PREFIX: Final = "GATEWAY_"

# Those that are in tables of the TOML file, where Centrifugo has them.
_TABLES: Final = {
    "subscribe_to_user_personal_channel_": "client.subscribe_to_user_personal_channel.",
    "subscription_token_": "client.subscription_token.",
    "token_": "client.token.",
}


def _setting(default: Any, parser: Parser, allowed: str, meaning: str) -> Any:
    return field(
        default=default, metadata={"parser": parser, "allowed": allowed, "meaning": meaning}
    )


def _integer(default: int, low: int, high: int, unit: str, meaning: str) -> Any:
    allowed = f"{low} to {high} {unit}"
    return _setting(default, value.number(int, low, high, allowed), allowed, meaning)


def _seconds(default: float, low: float, high: float, meaning: str) -> Any:
    allowed = f"{low:g} to {high:g} seconds"
    return _setting(default, value.number(float, low, high, allowed), allowed, meaning)


def _limit(low: int, high: int, unit: str, meaning: str, default: int | None = None) -> Any:
    allowed = f"off, or {low} to {high} {unit}"
    return _setting(
        default, value.optional(value.number(int, low, high, allowed)), allowed, meaning
    )


def _hmac_key(meaning: str) -> Any:
    allowed = f"{tokens.MIN_HMAC_BYTES} bytes or more"
    return _setting(Secret(""), tokens.hmac_key, allowed, meaning)


def _public_key(kind: str, algorithms: str, whose: str) -> Any:
    return _setting(
        "", tokens.public_key, "PEM", f"The {kind} key that {whose} are checked with: {algorithms}."
    )


_CONNECTION: Final = "tokens"
_SUBSCRIPTION: Final = "subscription tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, checked."""

    app: str = _setting(
        "", value.text, "MODULE:ATTRIBUTE", "The application; the built-in echo when empty."
    )
    host: str = _setting("127.0.0.1", value.text, "an address", "Where to listen.")
    port: int = _integer(8000, 0, 65535, "(0: any free port)", "Where to listen.")
    workers: int = _integer(1, 1, 256, "processes", "Worker processes of this port.")
    role: str = _setting(
        "both",
        value.choice("both", "edge", "handler"),
        "both, edge, handler",
        "Hold sockets, run handlers, or both.",
    )
    reload: bool = _setting(
        False, value.switch, "on, off", "Start workers anew when code changes. For development."
    )
    redis_url: Secret = _setting(
        Secret(""),
        value.secret,
        "redis://, rediss://, unix://, or the first two with +sentinel or +cluster",
        "The broker. Empty: `gateway serve` starts a private one.",
    )
    redis_password_file: str = _setting(
        "", value.text, "a path", "Holds the password for the broker, which its URL then lacks."
    )
    redis_sentinel_password_file: str = _setting(
        "", value.text, "a path", "Holds the password for Sentinels, which the URL then lacks."
    )
    redis_prefix: str = _setting(
        "gw", value.prefix, value.PREFIX_IS, "Begins every key and channel."
    )
    redis_bin: str = _setting(
        "", value.text, "a path", "The server to embed; else the one on PATH, else the bundled one."
    )
    log_level: str = _setting(
        "info",
        value.choice("debug", "info", "warning", "error"),
        "debug, info, warning, error",
        "The least level that is logged.",
    )
    log_errors: str = _setting(
        "auto",
        value.choice("auto", "type", "full"),
        "auto, type, full",
        "Of an exception, log its type and where it was raised (type), or its message as well "
        "(full). auto is full at a terminal and with --reload, else type.",
    )
    trace: bool = _setting(
        False, value.switch, "on, off", "Offer the subprotocol gateway.trace.v1. It shows topology."
    )
    opentelemetry: bool = _setting(
        False,
        value.switch,
        "on, off",
        "Export traces with OpenTelemetry, as its own variables `OTEL_*` say. An extra.",
    )
    opentelemetry_traceparent: str = _setting(
        "link",
        value.choice("link", "parent", "ignore"),
        "link, parent, ignore",
        "What the span that a handshake names, or a call without an API key, is to its own.",
    )
    page: bool = _setting(
        True, value.switch, "on, off", "Serve the page to try the gateway with, at `/`."
    )
    message_bytes: int = _integer(
        65536, 1, 1_000_000, "bytes", "The longest message of a client. Past it: close 1009."
    )
    messages_per_second: int | None = _limit(
        1, 100_000, "messages/s", "Of one connection. Past it: close 3013."
    )
    frames_per_second: int | None = _limit(
        1,
        1_000_000,
        "frames/s",
        "Pings, pongs and fragments of one connection. Past it: close 3013.",
        default=1000,
    )
    max_connections: int = _integer(
        15000, 1, 1_000_000, "connections", "Of one worker. Past it: 503."
    )
    max_channels: int = _integer(
        100_000, 1, 10_000_000, "channels", "Of one worker. Past it: error 106."
    )
    max_connections_per_address: int | None = _limit(
        1, 1_000_000, "connections", "Of one client address at one worker. Past it: 429."
    )
    handshakes_per_second: int | None = _limit(
        1, 100_000, "handshakes/s", "Of one worker. Past it: 429."
    )
    handshake_seconds: float = _seconds(
        10.0, 0.1, 300, "Until a request's head must be complete. Past it: closed."
    )
    outbox_bytes: int = _integer(
        1 << 20, 1024, 1 << 30, "bytes", "Waiting for one slow socket. Past it: abort, 3008."
    )
    stall_seconds: float = _seconds(
        10.0, 0.1, 300, "Without progress of a socket that has bytes waiting. Past it: abort, 3008."
    )
    handler_seconds: float = _seconds(
        30.0, 0.1, 3600, "For one handler, and for a message to find one. Past it: an error."
    )
    handler_concurrency: int = _integer(
        1000, 1, 100_000, "handlers", "At once in one worker. Past it: they wait."
    )
    handler_subset: int = _integer(
        SUBSET, 2, 100_000, "workers", "To so many an edge takes messages, where more handle them."
    )
    lease_seconds: float = _seconds(
        LEASE_S, 1, MAX_LEASE_S, "How long a silent worker is believed to live."
    )
    drain_seconds: float = _seconds(30.0, 0, 3600, "For a worker to leave on purpose.")
    channel: Namespaces = _setting(
        Namespaces(), namespaces.parse, "a table", "What channels may do, by namespace."
    )
    allow_anonymous_connect_without_token: bool = _setting(
        False,
        value.switch,
        "on, off",
        "Let in clients of the Centrifuge protocol that show no token, without a user.",
    )
    subscribe_to_user_personal_channel_enabled: bool = _setting(
        False,
        value.switch,
        "on, off",
        "Subscribe each client of the Centrifuge protocol that has a user to the channel `#USER`.",
    )
    subscribe_to_user_personal_channel_personal_channel_namespace: str = _setting(
        "", value.text, "a namespace", "Where that channel is: `NAMESPACE:#USER`. Empty: in none."
    )
    token_hmac_secret_key: Secret = _hmac_key(
        "The secret that tokens are signed with: HS256, HS384, HS512."
    )
    token_hmac_previous_secret_key: Secret = _hmac_key(
        "The one before it, whose tokens are still valid."
    )
    token_rsa_public_key: str = _public_key("RSA", "RS256, RS384, RS512", _CONNECTION)
    token_ecdsa_public_key: str = _public_key("ECDSA", "ES256, ES384, ES512", _CONNECTION)
    token_eddsa_public_key: str = _public_key("Ed25519", "EdDSA", _CONNECTION)
    token_jwks_public_endpoint: str = _setting(
        "", tokens.endpoint, "an http(s) URL", "Where a JWKS of public keys for tokens is."
    )
    token_audience: str = _setting("", value.text, "a text", "What their `aud` must have.")
    token_issuer: str = _setting("", value.text, "a text", "What their `iss` must be.")
    token_user_id_claim: str = _setting(
        "sub", tokens.claim, "letters and _", "The claim of tokens that says who it is."
    )
    token_leeway_seconds: float = _seconds(
        60, 0, 600, "How far the clock of whoever issues tokens may be from ours."
    )
    subscription_token_enabled: bool = _setting(
        False,
        value.switch,
        "on, off",
        "Subscription tokens have keys of their own. Off: they have those of the others.",
    )
    subscription_token_hmac_secret_key: Secret = _hmac_key(
        "The secret that subscription tokens are signed with: HS256, HS384, HS512."
    )
    subscription_token_hmac_previous_secret_key: Secret = _hmac_key(
        "The one before it, whose subscription tokens are still valid."
    )
    subscription_token_rsa_public_key: str = _public_key(
        "RSA", "RS256, RS384, RS512", _SUBSCRIPTION
    )
    subscription_token_ecdsa_public_key: str = _public_key(
        "ECDSA", "ES256, ES384, ES512", _SUBSCRIPTION
    )
    subscription_token_eddsa_public_key: str = _public_key("Ed25519", "EdDSA", _SUBSCRIPTION)
    subscription_token_jwks_public_endpoint: str = _setting(
        "",
        tokens.endpoint,
        "an http(s) URL",
        "Where a JWKS of public keys for subscription tokens is.",
    )
    subscription_token_audience: str = _setting(
        "", value.text, "a text", "What their `aud` must have."
    )
    subscription_token_issuer: str = _setting("", value.text, "a text", "What their `iss` must be.")
    subscription_token_user_id_claim: str = _setting(
        "sub",
        tokens.claim,
        "letters and _",
        "The claim of subscription tokens that says who it is.",
    )
    communicate_token: bool = _setting(
        False, value.switch, "on, off", "`/communicate` takes only clients with a valid token."
    )
    allowed_origins: tuple[str, ...] = _setting(
        (),
        value.origins,
        "origins, or *",
        "Pages that may connect. Empty: those of the same host.",
    )
    allowed_hosts: tuple[str, ...] = _setting(
        (), value.hosts, "host names", "What a Host header may say. Empty: anything."
    )
    api_body_bytes: int = _integer(
        131_072,
        1,
        1_000_000,
        "bytes",
        "The longest body of a call to the connection API. Past it: 413.",
    )
    api_requests_per_second: int | None = _limit(
        1, 100_000, "requests/s", "Calls to the connection API of one worker. Past it: 429."
    )
    admin_bind: str = _setting(
        "", value.address, "HOST:PORT", "A port of its own for the connection API and /metrics."
    )
    trusted_proxies: tuple[str, ...] = _setting(
        (),
        value.networks,
        "addresses, networks, unix:, or *",
        "Proxies whose X-Forwarded-For and -Proto are believed. Empty: none.",
    )
    api_keys: Secret = _setting(
        Secret(""),
        value.secret_list(credential_lists.api_keys),
        "printable ASCII",
        "Keys of backends that call the connection API.",
    )
    api_keys_file: str = _setting(
        "", value.text, "a path", "More of them, one a line. Lines that begin with # are comments."
    )
    aws_access_keys: Secret = _setting(
        Secret(""),
        value.secret_list(credential_lists.access_keys),
        "ID:SECRET",
        "Access keys of backends that call the connection API with an AWS SDK.",
    )

    @property
    def personal_namespace(self) -> str | None:
        """Where each user has a channel of its own; empty is in none, and None is nowhere."""
        if not self.subscribe_to_user_personal_channel_enabled:
            return None
        return self.subscribe_to_user_personal_channel_personal_channel_namespace

    def token_options(self) -> TokenOptions:
        """What connection tokens have to be."""
        return self._token_options("token_")

    def subscription_token_options(self) -> TokenOptions:
        """What subscription tokens have to be."""
        return self._token_options(
            "subscription_token_" if self.subscription_token_enabled else "token_"
        )

    def _token_options(self, beginning: str) -> TokenOptions:
        given = {
            name: getattr(self, beginning + name)
            for name in TokenOptions.__dataclass_fields__
            if name not in ("place", "leeway_s")
        }
        return TokenOptions(
            place=toml_key(beginning).rstrip("."), leeway_s=self.token_leeway_seconds, **given
        )


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def toml_key(name: str) -> str:
    """Where a setting is in the TOML file; with dots for the tables it is in."""
    for beginning, place in _TABLES.items():
        if name.startswith(beginning):
            return place + name.removeprefix(beginning)
    return name
