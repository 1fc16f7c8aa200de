"""What the value of one setting may be: parsers that tell an operator what would be right."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from gateway.errors import ConfigError

_ORIGIN: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/?"
)
_HOST: Final = re.compile(r"[a-z0-9._-]+")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_DURATION: Final = re.compile(r"(?:[0-9]{1,9}(?:h|m|s))+")
_SECONDS: Final = {"h": 3600, "m": 60, "s": 1}

PREFIX_IS: Final = "letters, digits, - and _"

Parser = Callable[[str, object], Any]  # (name shown to the operator, raw value) -> value


class Secret:
    """A value that is never shown. No ``str``: joined, added or made JSON, that would be.

    Attributes:
        name: What it was given by, a flag or a variable for instance, for errors; may be empty.
    """

    __slots__ = ("_value", "name")

    def __init__(self, value: str, name: str = "") -> None:
        self._value = value
        self.name = name

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "***" if self._value else ""


def number(kind: type[int] | type[float], low: float, high: float, allowed: str) -> Parser:
    what = "a whole number" if kind is int else "a number"

    def parse(name: str, raw: object) -> Any:
        value = _exactly(kind, raw)
        if value is None:
            raise ConfigError(f"{_given(name, raw)} is not {what}: {allowed}{_hint(raw)}")
        if not low <= value <= high:
            raise ConfigError(f"{_given(name, raw)} is outside {allowed}")
        return value

    return parse


def _exactly(kind: type[int] | type[float], raw: Any) -> int | float | None:
    """None for what ``kind()`` takes but is none: a switch, or for ``int`` a fraction."""
    if isinstance(raw, bool) or not isinstance(raw, str | int | kind):
        return None
    try:
        return kind(raw)
    except (ValueError, OverflowError):
        return None


def _given(name: str, raw: object) -> str:
    """``name=value`` for an error that is one line."""
    text = str(raw)
    return f"{name}={text if text.isprintable() else repr(text)}"


def _hint(raw: object) -> str:
    if str(raw).startswith("tcp://"):
        return " (Kubernetes sets it for a service of this name: set enableServiceLinks: false)"
    return ""


def duration(low: timedelta, high: timedelta, allowed: str) -> Parser:
    """Hours, minutes and seconds as Centrifugo writes them: ``300s``, ``5m``, ``1h30m``."""

    def parse(name: str, raw: object) -> timedelta:
        if not isinstance(raw, str) or not _DURATION.fullmatch(raw):
            raise ConfigError(
                f"{_given(name, raw)} is not a duration such as 300s, 5m or 1h30m: {allowed}"
            )
        parts = re.findall(r"([0-9]+)([hms])", raw)
        seconds = sum(int(count) * _SECONDS[unit] for count, unit in parts)
        # Compared before it is one: a timedelta has an end, and what is typed has none.
        if not low.total_seconds() <= seconds <= high.total_seconds():
            raise ConfigError(f"{_given(name, raw)} is outside {allowed}")
        return timedelta(seconds=seconds)

    return parse


def optional(parser: Parser) -> Parser:
    def parse(name: str, raw: object) -> Any:
        return None if raw in ("", "off", None) else parser(name, raw)

    return parse


def choice(*choices: str) -> Parser:
    def parse(name: str, raw: object) -> str:
        if raw not in choices:
            raise ConfigError(f"{_given(name, raw)} is not one of {', '.join(choices)}")
        return str(raw)

    return parse


def switch(name: str, raw: object) -> bool:
    text = str(raw).lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off", ""):
        return False
    raise ConfigError(f"{_given(name, raw)} is neither on (true) nor off (false)")


def text(name: str, raw: object) -> str:
    if not isinstance(raw, str):
        raise ConfigError(f"{_given(name, raw)} is not a text")
    return raw


def secret(name: str, raw: object) -> Secret:
    if not isinstance(raw, str):
        raise ConfigError(f"{name}=*** is not a text")
    return Secret(raw, name)


def secret_list(check: Callable[[str, str], object]) -> Parser:
    def parse(name: str, raw: object) -> Secret:
        if isinstance(raw, list) and all(isinstance(part, str) for part in raw):
            raw = ",".join(raw)  # as in a variable, and as secret as its parts
        if not isinstance(raw, str):
            raise ConfigError(f"{name}=*** is not a list of texts")
        check(name, raw)
        return Secret(raw)

    return parse


def texts(name: str, raw: object) -> tuple[str, ...]:
    if isinstance(raw, str):
        return tuple(part.strip() for part in raw.split(",") if part.strip())
    if isinstance(raw, list) and all(isinstance(part, str) for part in raw):
        return tuple(raw)
    raise ConfigError(f"{_given(name, raw)} is not a list of texts")


def origins(name: str, raw: object) -> tuple[str, ...]:
    """What a browser may send as Origin, ``*`` and ``null``: anything else would never match."""
    found = texts(name, raw)
    for entry in found:
        match = _ORIGIN.fullmatch(entry.lower())
        if entry in ("*", "null"):
            continue
        if match is None:
            raise ConfigError(
                f"{_given(name, entry)} is no origin: SCHEME://HOST or SCHEME://HOST:PORT, "
                "without path or wildcard, other alphabets as xn--"
            )
        if match["port"] and int(match["port"]) == _DEFAULT_PORTS.get(match["scheme"]):
            raise ConfigError(
                f"{_given(name, entry)}: browsers leave out :{match['port']}, so leave it out"
            )
    return found


def hosts(name: str, raw: object) -> tuple[str, ...]:
    """Names and addresses that a Host header may have before its port, and ``*``."""
    found = texts(name, raw)
    for entry in found:
        if entry != "*" and not _HOST.fullmatch(entry.lower()) and not _is_ipv6(entry.strip("[]")):
            raise ConfigError(
                f"{_given(name, entry)} is no host: a name or an address, without scheme, port, "
                "path or wildcard, other alphabets as xn--"
            )
    return found


def networks(name: str, raw: object) -> tuple[str, ...]:
    """Addresses and networks of proxies, ``unix:`` and ``*``."""
    found = texts(name, raw)
    for entry in found:
        try:
            if entry not in ("*", "unix:"):
                ipaddress.ip_network(entry)
        except ValueError as error:
            raise ConfigError(
                f"{_given(name, entry)} is no address, network, unix: or *: {error}"
            ) from None
    return found


def _is_ipv6(text: str) -> bool:
    try:
        return bool(ipaddress.IPv6Address(text))
    except ValueError:
        return False


def prefix(name: str, raw: object) -> str:
    found = text(name, raw)
    if not is_prefix(found):
        raise ConfigError(f"{_given(name, raw)} is not {PREFIX_IS}")
    return found


def is_prefix(text: str) -> bool:
    """Whether keys may begin with it: a brace for instance would move them to other slots."""
    return text.isascii() and text.replace("-", "").replace("_", "").isalnum()


def address(name: str, raw: object) -> str:
    """``host:port``, an IPv6 host in brackets."""
    found = text(name, raw)
    if found:
        host, _, port = found.rpartition(":")
        if not host or not (port.isascii() and port.isdecimal() and int(port[:6]) <= 65535):
            raise ConfigError(f"{_given(name, raw)} is not HOST:PORT{_hint(raw)}")
    return found
