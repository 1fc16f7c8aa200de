"""What several commands in one request say, and that too many are refused before they are read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.http_api import commands
from gateway.http_api.answers import Problem
from gateway.http_api.call import Call
from gateway.http_api.commands import MAX_ITEMS, commands_of


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
