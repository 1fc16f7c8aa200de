"""What the gateway says of itself at ``/metrics``."""

from __future__ import annotations

import re
import socket
import urllib.request
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

ANSWER_S: Final = 2.0
_SAMPLE: Final = re.compile(r"(?m)^([a-zA-Z_:]+)(?:\{[^}]*\})? (\S+)$")


def get(url: str) -> str | None:
    """The body of a GET, or None when there was no good answer."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
            return str(answer.read(), "utf-8", "replace")
    except (OSError, ValueError):
        return None


def read(text: str) -> dict[str, float]:
    """Every metric, added up over its labels."""
    found: dict[str, float] = {}
    for name, value in _SAMPLE.findall(text):
        found[name] = found.get(name, 0.0) + float(value)
    return found


def scrape(api: str) -> dict[str, float] | None:
    """The metrics of every gateway that this address stands for, added up; None without any.

    One name may stand for many containers, each with counters of its own. Its addresses of one
    family only: a gateway that has both would be counted twice.
    """
    parts = urlsplit(api)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme == "https":
        addresses = {parts.netloc}
    else:
        try:
            resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            return None
        addresses = {f"[{a[0]}]:{port}" if ":" in str(a[0]) else f"{a[0]}:{port}"
                     for family, *_, a in resolved if family == resolved[0][0]}  # fmt: skip
    together: dict[str, float] = {}
    answered = False
    for address in sorted(addresses):
        text = get(f"{parts.scheme}://{address}/metrics")
        if text is None or "gateway_" not in text:
            continue
        answered = True
        for name, value in read(text).items():
            together[name] = together.get(name, 0.0) + value
    return together if answered else None


def grown(before: Mapping[str, float], after: Mapping[str, float], name: str) -> int:
    """By how much a counter has grown."""
    return round(after.get(name, 0.0) - before.get(name, 0.0))
