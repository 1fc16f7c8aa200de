"""What several commands in one request say, and that too many are refused before they are read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.requests import Request

from gateway.http_api import commands
from gateway.http_api.answers import Problem
from gateway.http_api.call import KEY_HEADERS, Call
from gateway.http_api.commands import MAX_ITEMS, broadcast_of, commands_of
from gateway.http_api.reading import headers_of
from gateway.protocol.centrifuge import replies


def call(body: object) -> Call:
    return Call(target="", query={}, headers={}, body=json.dumps(body).encode())


@pytest.mark.parametrize("said", [0, {}, {"send": {}}, {"publish": {"channel": "a", "data": 1}}])
def test_more_commands_than_may_be_are_not_read_one_by_one(
    said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red while they were counted when all had been read: of a body of 1 MB a worker made 500,000
    problems, for 16 s, in which it lost its lease and all its clients.
    """
    read: list[object] = []
    made = commands._command

    def command(each: Any) -> Any:
        read.append(each)
        return made(each)

    monkeypatch.setattr(commands, "_command", command)
    assert len(commands_of(call({"commands": [said] * MAX_ITEMS}))) == MAX_ITEMS
    read.clear()

    with pytest.raises(Problem) as raised:
        commands_of(call({"commands": [said] * (MAX_ITEMS + 1)}))

    assert raised.value.status == 413
    assert str(raised.value) == "1001 at once are over the limit of 1000: send fewer"
    assert not read


BROADCAST = {"channels": ["hall"], "data": 1}


def keyed(own: str | None, **headers: str) -> Call:
    body = BROADCAST if own is None else BROADCAST | {"idempotency_key": own}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Call(target="", query={}, headers=given, body=json.dumps(body).encode())


@pytest.mark.parametrize(
    ("own", "headers", "key"),
    [
        (None, {}, None),
        (None, {"idempotency_key": "h"}, "h"),
        (None, {"amz_sdk_invocation_id": "a"}, "a"),
        ("b", {}, "b"),
        ("b", {"idempotency_key": "b"}, "b"),
        ("b", {"amz_sdk_invocation_id": "a"}, "b"),  # nobody has chosen that one
    ],
)
def test_the_key_of_a_broadcast_is_that_of_its_header_or_its_body(
    own: str | None, headers: dict[str, str], key: str | None
) -> None:
    assert broadcast_of(keyed(own, **headers)).idempotency_key == key


@pytest.mark.parametrize("headers", [{}, {"idempotency_key": "h"}])
def test_the_data_of_a_broadcast_is_read_once(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when who takes the key of a header makes another broadcast, and checks 64 KiB anew."""
    read: list[bytes] = []
    storable = replies.storable

    def counted(payload: bytes) -> Any:
        read.append(payload)
        return storable(payload)

    monkeypatch.setattr(commands, "storable", counted)
    broadcast_of(keyed(None, **headers))

    assert read == [b"1"]


def test_two_keys_that_differ_are_refused() -> None:
    """Red when that of the body counts: who repeats the call by its header publishes twice."""
    with pytest.raises(Problem, match="Idempotency-Key and the body's idempotency_key differ"):
        broadcast_of(keyed("b", idempotency_key="h"))


@pytest.mark.parametrize("name", KEY_HEADERS)
def test_a_header_with_two_keys_is_refused(name: str) -> None:
    def request(*keys: bytes) -> Request:
        return Request({"type": "http", "headers": [(name.encode(), key) for key in keys]})

    assert headers_of(request(b"k", b"k"))[name] == "k"
    with pytest.raises(Problem, match=f"the header {name} is given twice"):
        headers_of(request(b"k", b"other"))
