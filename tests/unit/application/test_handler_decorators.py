"""Handlers are registered as people write it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import Connection, Gateway, Message

KINDS = ("on_message", "on_connect", "on_disconnect")


async def handler(_what: Message | Connection) -> None:
    """Does nothing."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_handler_is_registered_with_and_without_parentheses(kind: str) -> None:
    for registered in (
        getattr(bare := Gateway(), kind)(handler),
        getattr(called := Gateway(), kind)()(handler),
    ):
        assert registered is handler  # as the name in the module is

    assert getattr(bare.handlers, kind) is getattr(called.handlers, kind) is handler


@pytest.mark.parametrize("kind", KINDS)
def test_parentheses_alone_register_nothing(kind: str) -> None:
    gateway = Gateway()
    getattr(gateway, kind)()

    assert getattr(gateway.handlers, kind) is None


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_handler_is_refused_either_way(kind: str) -> None:
    """None too: an ``on_connect`` that is none would let everybody in."""
    no_handler: Any
    for no_handler in (None, lambda _: None):
        with pytest.raises(TypeError, match=f"must be an `async def` function to be an {kind}"):
            getattr(Gateway(), kind)(no_handler)
        with pytest.raises(TypeError, match=f"must be an `async def` function to be an {kind}"):
            getattr(Gateway(), kind)()(no_handler)


def test_types_are_those_of_the_handler() -> None:
    gateway = Gateway()

    @gateway.on_message()
    async def answer(message: Message) -> str:
        return message.text

    @gateway.on_connect
    async def admit(connection: Connection) -> str | None:
        return connection.query

    assert (gateway.handlers.on_message, gateway.handlers.on_connect) == (answer, admit)
