"""Settings around the shared Redis, a prefix for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from gateway.settings.config import Settings
from tests.support.inprocess import redis_settings
from tests.support.redis_server import RedisServer
from tests.support.traces import Traces

_prefixes = itertools.count()


class MakeSettings(Protocol):
    def __call__(self, **changes: Any) -> Settings: ...


def settings_at(url: str) -> MakeSettings:
    """What makes settings with changes; all that it makes share a prefix."""
    prefix = f"it{next(_prefixes)}"

    def make(**changes: Any) -> Settings:
        return redis_settings(url, prefix, **changes)

    return make


@pytest.fixture
def settings(redis_server: RedisServer) -> MakeSettings:
    """Make settings with changes; all of one test share a prefix."""
    return settings_at(redis_server.url)


@pytest.fixture(scope="session")
def exported() -> Traces:
    """Spans of all gateways of this process, from here on."""
    return Traces(everywhere=True)


@pytest.fixture
def traces(exported: Traces) -> Iterator[Traces]:
    """Those of one test."""
    exported.clear()
    yield exported
    exported.clear()
