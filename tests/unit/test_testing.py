"""What applications test their handlers with: it does what a worker would do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway import Admit, Connection, Gateway, Message, NotRunning, Receipt, Refused
from gateway.protocol.ids import owner_of
from gateway.testing import Client, Disconnected, NoHandler, Sent, connection, outbox


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

    with pytest.raises(TypeError, match=f"an {kind} handler returned int, not {right}"):
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
    assert sent.taken == [Sent("other", "hello"), Disconnected("other", 4100, "moved")]


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
