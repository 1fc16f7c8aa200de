"""Hooks are declared for patterns, and what could never run is refused where it is declared."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import Denied, Gateway, Grant, Message
from gateway.handlers.checks import WrongAnswer
from gateway.handlers.hook_requests import result
from gateway.handlers.hooks import Hooks
from gateway.protocol.hooks import HookKind, HookResult


async def yes(_: Any) -> None:
    pass


async def no(_: Any) -> None:
    pass


def test_the_longest_pattern_of_its_kind_decides() -> None:
    hooks = Hooks()
    hooks.set(HookKind.SUBSCRIBE, "room:*", yes)
    hooks.set(HookKind.SUBSCRIBE, "room:1", no)
    hooks.set(HookKind.PUBLISH, "*", no)

    assert hooks.find(HookKind.SUBSCRIBE, "room:2") is yes
    assert hooks.find(HookKind.SUBSCRIBE, "room:1") is no
    assert hooks.find(HookKind.SUBSCRIBE, "lobby") is None
    assert hooks.find(HookKind.RPC, "room:1") is None
    assert hooks.declared() == (
        ("subscribe", "room:*"),
        ("subscribe", "room:1"),
        ("publish", "*"),
    )


def test_a_second_one_for_a_pattern_is_refused() -> None:
    hooks = Hooks()
    hooks.set(HookKind.RPC, "profile", yes)
    hooks.set(HookKind.SUBSCRIBE, "profile", yes)

    with pytest.raises(ValueError, match=r"no \(.*on_rpc handler for 'profile' already"):
        hooks.set(HookKind.RPC, "profile", no)


def test_what_is_no_hook_is_refused_with_its_kind() -> None:
    gateway = Gateway()

    with pytest.raises(TypeError, match="must be an `async def` function to be an on_rpc handler"):
        gateway.on_rpc("a")(print)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(TypeError, match=r"as `async def f\(publishing\)` does"):

        @gateway.on_publish("a")  # type: ignore[arg-type]  # that is the point
        async def two(one: Any, other: Any) -> None:
            pass


@pytest.mark.parametrize("kind", ["on_subscribe", "on_publish", "on_unsubscribe", "on_rpc"])
def test_parentheses_that_are_missing_are_told_at_once(kind: str) -> None:
    with pytest.raises(
        TypeError, match=r"^the function yes is no pattern: give a name.* in parentheses$"
    ):
        getattr(Gateway(), kind)(yes)


def test_a_decorated_hook_stays_what_it_is() -> None:
    gateway = Gateway()

    @gateway.on_rpc("profile")
    async def profile(call: Any) -> dict[str, int]:
        return {}

    @gateway.on_message
    async def answer(message: Message) -> str:
        return ""

    assert gateway.handlers.hooks.find(HookKind.RPC, "profile") is profile


@pytest.mark.parametrize(
    ("kind", "returned", "said"),
    [
        (HookKind.SUBSCRIBE, None, HookResult()),
        (HookKind.SUBSCRIBE, Grant(), HookResult()),
        (HookKind.SUBSCRIBE, Grant(1, "x", 5), HookResult(b'"x"', b"1", 5.0)),
        (HookKind.PUBLISH, None, HookResult()),
        (HookKind.PUBLISH, {"a": "é"}, HookResult('{"a":"é"}'.encode())),
        (HookKind.RPC, None, HookResult(b"null")),
        (HookKind.RPC, [1], HookResult(b"[1]")),
        (HookKind.RPC, "\n", HookResult(b'"\\n"')),
        (HookKind.UNSUBSCRIBE, "whatever", HookResult()),
    ],
)
def test_what_is_returned_is_json(kind: HookKind, returned: object, said: HookResult) -> None:
    assert result(kind, returned, yes) == said


@pytest.mark.parametrize(
    ("kind", "returned", "why"),
    [
        (HookKind.SUBSCRIBE, True, "returned bool, not Grant or None"),
        (HookKind.SUBSCRIBE, Grant(object()), r"returned Grant that cannot be sent \(TypeError\)"),
        (HookKind.PUBLISH, {1, object()}, "returned set that cannot be sent"),
        (HookKind.RPC, "\udfff", "returned str that cannot be sent"),
        (HookKind.RPC, {None: 1}, "returned dict that cannot be sent"),
    ],
)
def test_what_cannot_be_sent_names_its_hook(kind: HookKind, returned: object, why: str) -> None:
    with pytest.raises(WrongAnswer, match=f"on_{kind.value} handler yes .*{why}"):
        result(kind, returned, yes)


@pytest.mark.parametrize("error_code", [103, 400, 1999])
def test_denied_has_a_code_of_the_application(error_code: int) -> None:
    assert Denied(error_code).error_code == error_code


@pytest.mark.parametrize("error_code", [0, 100, 102, 104, 399, 2000])
def test_other_codes_are_refused(error_code: int) -> None:
    with pytest.raises(ValueError, match="not 103 and not in 400 to 1999"):
        Denied(error_code)


@pytest.mark.parametrize("message", ["", "é" * 128])
def test_a_message_is_not_empty_and_not_long(message: str) -> None:
    with pytest.raises(ValueError, match="1 to 255 UTF-8 bytes"):
        Denied(400, message)
