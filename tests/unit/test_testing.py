"""What applications test their handlers with: it does what a worker would do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway import (
    Admit,
    Connection,
    Gateway,
    Message,
    NotRunning,
    Receipt,
    Refused,
)
from gateway.protocol.ids import owner_of
from gateway.testing import (
    Client,
    Disconnected,
    NoHandler,
    NotConnected,
    Pushed,
    Subscribed,
    Unsubscribed,
    connection,
    outbox,
)


def echoing() -> Gateway:
    gateway = Gateway()

    @gateway.on_message
    async def echo(message: Message) -> str:
        return f"Received:{message.text}"

    return gateway


def collecting() -> tuple[Gateway, list[Message]]:
    """A gateway that keeps its messages and answers nothing."""
    gateway = Gateway()
    messages: list[Message] = []

    @gateway.on_message
    async def keep(message: Message) -> None:
        messages.append(message)

    return gateway, messages


async def test_a_message_gets_the_handlers_answer() -> None:
    assert await Client(echoing()).send("hello") == "Received:hello"


async def test_a_handler_may_answer_nothing() -> None:
    gateway, _ = collecting()

    assert await Client(gateway).send("hello") is None


async def test_what_a_handler_raises_is_raised_in_the_test() -> None:
    gateway = Gateway()

    @gateway.on_message
    async def fail(message: Message) -> str:
        raise LookupError(message.text)

    with pytest.raises(LookupError, match="hello"):
        await Client(gateway).send("hello")


async def test_without_a_handler_for_messages_that_is_said() -> None:
    with pytest.raises(NoHandler, match="no on_message handler"):
        await Client(Gateway()).send("hello")


async def test_each_message_has_an_id_of_its_own_that_names_its_connection() -> None:
    gateway, messages = collecting()
    client = Client(gateway)
    await client.send("one")
    await client.send("two")

    assert [message.id for message in messages] == [
        f"{client.connection.id}:1",
        f"{client.connection.id}:2",
    ]
    assert [message.attempt for message in messages] == [1, 1]


async def test_a_further_attempt_has_the_same_id() -> None:
    gateway, messages = collecting()
    client = Client(gateway)
    await client.send("one")
    await client.send("one", attempt=2)
    await client.send("two")

    first, again, other = messages
    assert first.id == again.id != other.id
    assert again.attempt == 2


async def test_a_test_may_begin_with_a_further_attempt() -> None:
    gateway, messages = collecting()
    await Client(gateway).send("one", attempt=3)

    assert messages[0].id.endswith(":1")


async def test_the_user_that_on_connect_names_is_seen_by_the_other_handlers() -> None:
    gateway, messages = collecting()
    ended: list[str | None] = []

    @gateway.on_connect
    async def admit(connection: Connection) -> str:
        return connection.headers["x-user"]

    @gateway.on_disconnect
    async def leave(connection: Connection) -> None:
        ended.append(connection.user)

    client = Client(gateway, headers={"X-User": "ada"})
    assert await client.connect() == "ada"
    await client.send("hello")
    await client.disconnect()

    assert messages[0].connection.user == "ada"
    assert ended == ["ada"]


async def test_without_those_handlers_connecting_and_leaving_is_fine() -> None:
    client = Client(echoing())

    assert await client.connect() is None
    await client.disconnect()


async def test_a_refusal_is_raised_with_its_code() -> None:
    gateway = Gateway()

    @gateway.on_connect
    async def refuse(connection: Connection) -> None:
        raise Refused(4403, "not today")

    with pytest.raises(Refused) as caught:
        await Client(gateway).connect()
    assert (caught.value.close_code, caught.value.reason) == (4403, "not today")


async def test_the_end_that_on_connect_sets_is_seen_by_the_other_handlers() -> None:
    gateway, messages = collecting()

    @gateway.on_connect
    async def admit(connection: Connection) -> Admit:
        return Admit("ada", datetime(2030, 1, 1, tzinfo=UTC))

    client = Client(gateway)
    assert await client.connect() == "ada"
    await client.send("hello")

    assert client.connection.expires_at == datetime(2030, 1, 1, tzinfo=UTC).timestamp()
    assert messages[0].connection == client.connection


@pytest.mark.parametrize(
    ("kind", "right"), [("on_message", "str or None"), ("on_connect", "str, None or Admit")]
)
async def test_an_answer_that_a_worker_would_not_take_fails_here_too(kind: str, right: str) -> None:
    gateway = Gateway()

    async def answer_a_number(_: Any) -> Any:
        return 5

    getattr(gateway, kind)(answer_a_number)
    client = Client(gateway)

    with pytest.raises(TypeError, match=f"{kind} handler .*a_number .* returned int, not {right}"):
        await (client.send("hello") if kind == "on_message" else client.connect())


def test_a_connection_has_an_id_of_the_right_form_and_of_its_own() -> None:
    one, other = connection(), connection()

    assert owner_of(one.id) is not None
    assert one.id != other.id


def test_a_connection_is_seen_as_handlers_see_it() -> None:
    seen = Client(
        echoing(),
        headers={"Cookie": "session=1"},
        query="a=1",
        address="192.0.2.7",
        subprotocols=("one",),
    ).connection

    assert seen.headers == {"cookie": "session=1"}
    assert (seen.user, seen.query, seen.address) == (None, "a=1", "192.0.2.7")
    assert seen.subprotocols == ("one",)


def test_a_connection_of_a_named_user_and_with_an_end_can_be_made() -> None:
    made = connection(user="ada", expires_at=5.0)

    assert (made.user, made.expires_at) == ("ada", 5.0)


# What is sent out of turn


def notifying() -> Gateway:
    gateway = Gateway()

    @gateway.on_message
    async def notify(message: Message) -> str:
        receipt = await gateway.send("other", message.text)
        await gateway.disconnect("other", 4100, "moved")
        return str(receipt)

    return gateway


@pytest.mark.parametrize("receipt", [Receipt.WRITTEN, Receipt.GONE])
async def test_what_is_sent_out_of_turn_is_kept_and_gets_the_receipt_of_the_test(
    receipt: Receipt,
) -> None:
    gateway = notifying()

    with outbox(gateway, receipt) as sent:
        answer = await Client(gateway).send("hello")

    assert answer == receipt
    assert sent.taken == [Pushed("other", "hello"), Disconnected("other", 4100, "moved")]


async def test_who_was_subscribed_and_unsubscribed_is_kept() -> None:
    gateway = Gateway()
    with outbox(gateway) as sent:
        assert await gateway.subscribe("c1", "lobby") is Receipt.WRITTEN
        assert await gateway.unsubscribe("c1", "lobby") is Receipt.WRITTEN

    assert sent.taken == [Subscribed("c1", "lobby"), Unsubscribed("c1", "lobby")]


async def test_a_close_that_cannot_be_sent_is_refused_in_tests_too() -> None:
    gateway = Gateway()

    with outbox(gateway), pytest.raises(ValueError, match="1006"):
        await gateway.disconnect("other", 1006, "lost")


async def test_without_an_outbox_the_gateway_does_not_run() -> None:
    gateway = notifying()
    with outbox(gateway):
        pass

    with pytest.raises(NotRunning):
        await Client(gateway).send("hello")


async def test_without_a_worker_the_way_to_test_is_named() -> None:
    with pytest.raises(NotRunning, match=r"gateway\.testing\.outbox"):
        await Gateway().send("other", "hello")


# Clients of one test


def chatting() -> Gateway:
    """A user is who the query says; ``user: text`` goes to that user."""
    gateway = Gateway()

    @gateway.on_connect
    async def welcome(connection: Connection) -> str:
        return connection.query

    @gateway.on_message
    async def talk(message: Message) -> str:
        user, _, text = message.text.partition(": ")
        if text == "go":
            sent = await gateway.disconnect_user(user, 4000, "sent away")
        else:
            sent = await gateway.send_to_user(user, text)
        there = await gateway.connections(user=user)
        return f"{[str(each.receipt) for each in sent]} {len(there)}"

    return gateway


async def connected(gateway: Gateway, user: str) -> Client:
    client = Client(gateway, query=user)
    await client.connect()
    return client


async def test_clients_of_one_test_see_what_they_are_sent() -> None:
    gateway = chatting()

    with outbox(gateway):
        ann, phone, laptop = [await connected(gateway, user) for user in ("ann", "ben", "ben")]
        answer = await ann.send("ben: hello")

    assert answer == "['written', 'written'] 2"
    assert phone.received == laptop.received == ["hello"]
    assert ann.received == []


async def test_a_client_that_was_sent_away_is_gone() -> None:
    gateway = chatting()

    with outbox(gateway) as sent:
        ann, ben = [await connected(gateway, user) for user in ("ann", "ben")]
        assert await ann.send("ben: go") == "['written'] 0"
        assert await gateway.send(ben.connection.id, "too late") is Receipt.GONE
        sent.receipt = Receipt.SLOW
        assert await ann.send("ann: hello") == "['slow'] 1"

    assert (ben.closed, ben.received, ann.received) == ((4000, "sent away"), [], [])
    with pytest.raises(NotConnected, match="closed, with 4000 sent away"):
        await ben.send("still there?")


async def test_a_client_that_left_gets_nothing() -> None:
    gateway = chatting()

    with outbox(gateway):
        ann, ben = [await connected(gateway, user) for user in ("ann", "ben")]
        await ben.disconnect()

        assert await ann.send("ben: hello") == "[] 0"


async def test_who_sends_before_connecting_is_told() -> None:
    """Red when the handler runs, and wonders why there is no user."""
    client = Client(chatting(), query="ann")

    with pytest.raises(NotConnected, match=r"await client\.connect"):
        await client.send("ben: hello")
