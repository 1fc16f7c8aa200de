"""Messages of clients to the application: ``send``, and what is sent to them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.edge.sessions.base import Session
from gateway.errors import HandlerFailed
from gateway.protocol.ids import WorkerId
from tests.unit.edge.sessions.centrifuge.stand import Client, Stand, standing

BY = WorkerId("b" * 16)


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    async with standing() as made:
        yield made


async def test_messages_are_dispatched_in_order_as_compact_json(stand: Stand) -> None:
    client = await stand.client("ann")
    frame = '{"send":{"data":{"a": [1, "ü"]}}}\n{"send":{"data":"text"}}\n{"send":{}}'
    client.session.on_text(client, frame, len(frame.encode()))

    assert client.dispatched == [('{"a":[1,"ü"]}', 14), ('"text"', 6), ("null", 4)]
    assert client.session.idle
    assert client.closed is None


async def test_nothing_is_dispatched_before_the_client_is_let_in(stand: Stand) -> None:
    client = stand.socket()
    client.say({"connect": {}}, {"send": {"data": 1}})
    assert client.dispatched == []
    await client.reply(1)

    assert client.dispatched == [("1", 1)]


@pytest.mark.parametrize(
    ("answer", "data"), [('{"a":\n1}', {"a": 1}), ("hello", "hello"), ("", "")]
)
async def test_an_answer_comes_as_a_message(stand: Stand, answer: str, data: object) -> None:
    client = await stand.client("ann")
    payload = client.session.reply(answer, handled_by=BY, attempt=1)
    assert payload is not None
    client.send(payload)

    assert client.pushes("message") == [{"data": data}]


async def test_no_answer_is_nothing(stand: Stand) -> None:
    client = await stand.client("ann")

    assert client.session.reply(None, handled_by=BY, attempt=1) is None


async def test_a_failure_has_no_words(stand: Stand) -> None:
    """So the connection is closed: ``send`` has no reply that could say it."""
    session: Session = (await stand.client("ann")).session

    assert session.failed(HandlerFailed()) is None


async def test_without_an_on_message_the_connection_ends(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "wants_messages", False)
    client = await stand.client("ann")
    client.say({"send": {"data": 1}})

    assert client.closed == (3508, "not available")
    assert client.dispatched == []


async def test_what_is_nested_too_deeply_is_a_bad_request(stand: Stand) -> None:
    client = await stand.client("ann")
    text = '{"send":{"data":%s}}' % ("[" * 100_000 + "]" * 100_000)
    client.session.on_text(client, text, len(text))

    assert client.closed == (3501, "bad request")
