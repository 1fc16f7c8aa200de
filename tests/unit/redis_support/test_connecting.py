"""Hosts that a node of a Cluster or a Sentinel may tell, and that there cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import BrokerUnavailable
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.check import check
from gateway.redis_support.connection import RedisConnection
from gateway.redis_support.url import parse

# An announced hostname may have these (config.c of Redis: letters, digits, - and dots).
NOWHERE = ["a..b", "a" * 64, ".."]


def told(host: str) -> RedisAddress:
    return replace(parse("redis://localhost"), host=host)


@pytest.mark.parametrize("host", NOWHERE)
async def test_a_host_that_dns_cannot_have_is_one_that_is_away(host: str) -> None:
    """Red when UnicodeError comes through: it ended the worker, and others that were told."""
    with pytest.raises(BrokerUnavailable, match="no connection to"):
        await RedisConnection.connect(told(host), deadline_s=5.0, name="test")


@pytest.mark.parametrize("host", NOWHERE)
def test_a_start_is_told_so_too(host: str) -> None:
    with pytest.raises(BrokerUnavailable, match="does not answer"):
        check(told(host), "gw")
