"""What is given twice in the JSON of a request is refused, wherever it has members."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.http_api.answers import Problem
from gateway.http_api.call import Call
from gateway.http_api.channel_calls import _tags
from gateway.http_api.commands import broadcast_of, commands_of
from gateway.http_api.json_bodies import members_of


def call(body: str, **query: str) -> Call:
    return Call(target="", query=query, headers={}, body=body.encode())


PUBLISH = '{"publish":{"channel":"a","data":1}}'


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (f'{{"commands":[{PUBLISH}],"commands":[{PUBLISH}]}}', "commands"),
        (f'{{"commands":[{PUBLISH}],"commands":[]}}', "commands"),
    ],
)
def test_a_batch_with_a_member_twice_is_refused(body: str, name: str) -> None:
    with pytest.raises(Problem, match=f"an object has the member '{name}' twice") as raised:
        commands_of(call(body))
    assert raised.value.status == 400


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ('{"publish":{"channel":"a","data":1},"publish":{"channel":"b","data":2}}', "publish"),
        ('{"publish":{"channel":"a","data":1,"channel":"b"}}', "channel"),
        (r'{"publish":{"channel":"a","data":1,"d\u0061ta":2}}', "data"),
        ('{"publish":{"channel":"a","data":1,"tags":{"a":"1","a":"2"}}}', "a"),
        ('{"broadcast":{"channels":["a"],"channels":["b"],"data":1}}', "channels"),
        ('{"broadcast":{"channels":["a"],"data":1,"tags":{"a":"1","b":"2","a":"1"}}}', "a"),
        ('{"send":{"connection":"a","text":"t","text":"u"}}', "text"),
        ('{"send_to_user":{"user":"a","user":"b","text":"u"}}', "user"),
        ('{"disconnect":{"connection":"a","code":4000,"code":4001}}', "code"),
        ('{"disconnect_user":{"user":"a","reason":"r","reason":"s"}}', "reason"),
        ('{"subscribe":{"connection":"a","channel":"b","channel":"c"}}', "channel"),
        ('{"unsubscribe":{"connection":"a","connection":"b","channel":"c"}}', "connection"),
    ],
)
def test_a_command_with_a_member_twice_is_refused_and_no_other(said: str, name: str) -> None:
    """Red when the last one counts: the first publication was lost, and the answer was a 200."""
    refused, taken = commands_of(call(f'{{"commands":[{said},{PUBLISH}]}}'))

    assert isinstance(refused, Problem)
    assert refused.status == 400
    assert f"the member {name!r} twice" in str(refused)
    assert not isinstance(taken, Problem)


@pytest.mark.parametrize(
    "body",
    [
        '{"channels":["a"],"data":1,"channels":["b"]}',
        '{"channels":["a"],"data":1,"tags":{"channels":"1","channels":"2"}}',
    ],
)
def test_a_broadcast_with_a_member_twice_is_refused(body: str) -> None:
    with pytest.raises(Problem, match="the member 'channels' twice"):
        broadcast_of(call(body))


def test_tags_of_a_publication_with_a_name_twice_are_refused() -> None:
    with pytest.raises(Problem, match=r"tags is no JSON object of strings.*the member 'a' twice"):
        _tags(call("", tags='{"a":"1","a":"2"}'))
    assert _tags(call("", tags='{"a":"1"}')) == {"a": "1"}


@pytest.mark.parametrize("tags", ["7", "[]", '{"a":1}', "{", "[" * 100_000, '{"a":"\\ud800"}'])
def test_tags_that_are_none_are_refused(tags: str) -> None:
    with pytest.raises(Problem, match="tags is no JSON object of strings"):
        _tags(call("", tags=tags))


def test_data_is_the_applications_own() -> None:
    body = '{"commands":[{"publish":{"channel":"a","data":{"x":1,"x":[{"y":1,"y":2}]}}}]}'
    [command] = commands_of(call(body))
    published: Any = command

    assert bytes(published.data) == b'{"x":1,"x":[{"y":1,"y":2}]}'


def test_members_keep_their_order_and_their_json() -> None:
    members = members_of('{"b": [1, 2],"a":{"c":1}}')

    assert {name: bytes(said) for name, said in members.items()} == {
        "b": b"[1, 2]",
        "a": b'{"c":1}',
    }


@pytest.mark.parametrize("kind", ['{"publish":{"channel":"a","data":%s}}', "%s", '{"x":%s}'])
@pytest.mark.parametrize("depth", [129, 900, 100_000])
def test_what_is_nested_too_deeply_is_refused(kind: str, depth: int) -> None:
    """Red where its reader gives up: as deep as the stack happens to have room for."""
    said = kind % ("[" * depth + "]" * depth)
    try:
        [refused] = commands_of(call(f'{{"commands":[{said}]}}'))
    except Problem as problem:
        refused = problem

    assert isinstance(refused, Problem)
    assert refused.status == 400
    if "publish" in kind or depth > 1000:
        assert "nested more than 128 deep" in str(refused)
