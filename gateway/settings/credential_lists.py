"""How an operator writes credentials: in a setting, or in a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from gateway.errors import ConfigError

# What a header can carry, and what separates nothing here or there.
_KEY: Final = re.compile(r"[!-+\--~]+")
_ACCESS_KEY_ID: Final = re.compile(r"[A-Za-z0-9_.-]+")


def api_keys(name: str, text: str) -> tuple[str, ...]:
    """``a,b``, each once. Spaces around a key, and nothing between two commas, are left out.

    Raises:
        ConfigError: Names the setting and which key is wrong, and shows none.
    """
    return _keys(f"{name}=***", text)


def api_keys_of_file(name: str, path: str) -> tuple[str, ...]:
    """One key a line, or several with commas. Lines that begin with # are comments.

    Raises:
        ConfigError: The file cannot be read, holds no key, or one that is wrong.
    """
    shown, text = _text_of_file(name, path)
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    keys = _keys(shown, ",".join(lines))
    if not keys:
        raise ConfigError(f"{shown}: there is no key in this file")
    return keys


def password_of_file(name: str, path: str) -> str:
    """The first and only line of a file, as it is but for its end.

    Raises:
        ConfigError: The file cannot be read, is empty, or has more lines.
    """
    shown, text = _text_of_file(name, path)
    password = text.removesuffix("\n").removesuffix("\r")
    if not password or "\n" in password:
        raise ConfigError(f"{shown}: not a file of one line, the password")
    return password


def with_password(name: str, url: str, password: str) -> str:
    """A URL of Redis with this password in it.

    Raises:
        ConfigError: It has one, or there is none. What else is wrong with it is found elsewhere.
    """
    if not url:
        raise ConfigError(
            f"{name} needs GATEWAY_REDIS_URL: the broker of one's own has no password"
        )
    scheme, separator, rest = url.partition("://")
    user, at, _host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")
    try:
        given = ":" in user or "password" in parse_qs(urlsplit(url).query, keep_blank_values=True)
    except ValueError:
        given = False  # it is refused for what it is
    if given:
        raise ConfigError(f"{name} and a password in GATEWAY_REDIS_URL: give one of them")
    rest = rest[len(user) + len(at) :]
    return f"{scheme}{separator}{user}:{quote(password, safe='')}@{rest}"


def with_sentinel_password(name: str, url: str, password: str) -> str:
    """A URL of Sentinels with the password that they ask for in it.

    Raises:
        ConfigError: It has one, or is of no Sentinels. What else is wrong is found elsewhere.
    """
    if "+sentinel:" not in url.partition("//")[0]:
        raise ConfigError(f"{name} needs Sentinels: GATEWAY_REDIS_URL=redis+sentinel://…")
    if "sentinel_password" in parse_qs(url.partition("?")[2], keep_blank_values=True):
        raise ConfigError(f"{name} and sentinel_password in GATEWAY_REDIS_URL: give one of them")
    return f"{url}{'&' if '?' in url else '?'}sentinel_password={quote(password, safe='')}"


def access_keys(name: str, text: str) -> dict[str, str]:
    """``ID:SECRET,ID2:SECRET2`` as secret by access key id.

    Raises:
        ConfigError: Names the setting and which entry is wrong, and shows none.
    """
    secrets: dict[str, str] = {}
    for number, part in enumerate(_parts(text), 1):
        key_id, _, secret = part.partition(":")
        if not _ACCESS_KEY_ID.fullmatch(key_id) or not _KEY.fullmatch(secret):
            raise ConfigError(
                f"{name}=***: entry {number} is not ID:SECRET, the ID of letters, digits, "
                "., - and _, the secret of printable ASCII without spaces"
            )
        if key_id in secrets:
            raise ConfigError(f"{name}=***: entry {number} has the ID of an earlier one")
        secrets[key_id] = secret
    return secrets


def _text_of_file(name: str, path: str) -> tuple[str, str]:
    """How a setting is shown in an error, and what is in the file that it names."""
    shown = f"{name}={path if path.isprintable() else repr(path)}"
    try:
        return shown, Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{shown}: {error.strerror}") from None
    except ValueError:  # bytes that are no text, or a path that is none
        raise ConfigError(f"{shown}: not a file of text") from None


def _keys(shown: str, text: str) -> tuple[str, ...]:
    keys = _parts(text)
    for number, key in enumerate(keys, 1):
        if not _KEY.fullmatch(key):
            raise ConfigError(f"{shown}: key {number} is not printable ASCII without spaces")
    return tuple(dict.fromkeys(keys))


def _parts(text: str) -> list[str]:
    return [part for part in map(str.strip, text.split(",")) if part]
