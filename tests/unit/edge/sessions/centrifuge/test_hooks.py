"""What an application's hooks decide on for clients of the Centrifuge protocol."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from gateway.close_codes import Close
from gateway.protocol.centrifuge.codes import Error
from gateway.protocol.hooks import HookKind, HookRequest, HookResult
from tests.support.waiting import eventually
from tests.unit.edge.sessions.centrifuge.stand import Stand, standing

NO = Error(403, "not you")


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    async with standing() as made:
        yield made


async def test_a_hook_lets_in_where_the_namespace_would_not(stand: Stand) -> None:
    client = await stand.client("ann")
    client.hooks.outcomes[HookKind.SUBSCRIBE, "closed:a"] = HookResult(b'{"hi":1}', b'"red"')
    reply = await client.ask(subscribe={"channel": "closed:a", "data": {"x": 1}})

    assert reply["subscribe"] == {"data": {"hi": 1}}
    assert client.hooks.asked == [HookRequest(HookKind.SUBSCRIBE, "closed:a", b'{"x": 1}')]
    assert client.session.subscriptions["closed:a"].info.chan_info == b'"red"'


@pytest.mark.parametrize(
    ("outcome", "code"),
    [(NO, 403), (HookResult(expires_unix_s=time.time() - 1), 110)],
)
async def test_a_hook_refuses_where_the_namespace_would_not(
    stand: Stand, outcome: Error | HookResult, code: int
) -> None:
    client = await stand.client("ann")
    client.hooks.outcomes[HookKind.SUBSCRIBE, "a"] = outcome

    assert (await client.ask(subscribe={"channel": "a"}))["error"]["code"] == code
    assert stand.parts.channels.subscriptions == 0


async def test_a_hook_ends_a_connection(stand: Stand) -> None:
    client = await stand.client("ann")
    client.hooks.outcomes[HookKind.PUBLISH, "a"] = Close(4001, "spam")
    client.say({"publish": {"channel": "a", "data": 1}})

    assert client.closed == (4001, "spam")


async def test_a_private_channel_needs_a_token_whatever_a_hook_says(stand: Stand) -> None:
    client = await stand.client("ann")
    client.hooks.outcomes[HookKind.SUBSCRIBE, "$a"] = HookResult()

    assert (await client.ask(subscribe={"channel": "$a"}))["error"]["code"] == 103
    assert client.hooks.asked == []


async def test_while_nobody_knows_of_hooks_clients_are_to_try_again(stand: Stand) -> None:
    client = await stand.client("ann")
    client.hooks.handlers = None
    for request in ({"subscribe": {"channel": "a"}}, {"publish": {"channel": "a", "data": 1}},
                    {"rpc": {"method": "m"}}):  # fmt: skip
        error = (await client.ask(**request))["error"]

        assert error == {"code": 100, "message": "internal server error", "temporary": True}


async def test_a_subscription_of_limited_time_expires(stand: Stand) -> None:
    client = await stand.client("ann")
    client.hooks.outcomes[HookKind.SUBSCRIBE, "a"] = HookResult(expires_unix_s=time.time() + 2.0)
    reply = await client.ask(subscribe={"channel": "a"})
    await eventually(lambda: client.pushes("unsubscribe"), "its end", 15)

    assert reply["subscribe"] == {}  # it could not refresh it
    assert client.pushes("unsubscribe") == [{"code": 2501, "reason": "subscription expired"}]
    assert client.hooks.unsubscribed == [("a", 2501, "subscription expired")]


async def test_a_hook_changes_what_is_published(stand: Stand) -> None:
    client = await stand.client("ann")
    await client.ask(subscribe={"channel": "a"})
    client.hooks.outcomes[HookKind.PUBLISH, "a"] = HookResult(b'"changed"')
    await client.ask(publish={"channel": "a", "data": "said"})
    await eventually(lambda: client.pushes("pub"), "the publication")

    assert client.pushes("pub")[0]["data"] == "changed"


async def test_what_a_hook_makes_too_large_is_over_the_limit_as_a_clients_is(stand: Stand) -> None:
    client = await stand.client("ann")
    too_large = b'"' + b"x" * (64 << 10) + b'"'
    client.hooks.outcomes[HookKind.PUBLISH, "a"] = HookResult(too_large)
    reply = await client.ask(publish={"channel": "a", "data": 1})

    assert reply["error"] == {"code": 106, "message": "limit exceeded"}


async def test_a_hook_lets_pass_what_is_published(stand: Stand) -> None:
    client = await stand.client("ann")
    client.hooks.outcomes[HookKind.SUBSCRIBE, "closed:a"] = HookResult()
    client.hooks.outcomes[HookKind.PUBLISH, "closed:a"] = HookResult()
    await client.ask(subscribe={"channel": "closed:a"})
    await client.ask(publish={"channel": "closed:a", "data": "said"})
    await eventually(lambda: client.pushes("pub"), "the publication")

    assert client.pushes("pub")[0]["data"] == "said"


async def test_a_call_is_answered_by_its_method(stand: Stand) -> None:
    client = await stand.client("ann")
    client.hooks.outcomes[HookKind.RPC, "add"] = HookResult(b"[3]")
    client.hooks.outcomes[HookKind.RPC, "fail"] = NO

    assert (await client.ask(rpc={"method": "add", "data": [1, 2]}))["rpc"] == {"data": [3]}
    assert (await client.ask(rpc={"method": "fail"}))["error"]["code"] == 403
    assert (await client.ask(rpc={"method": "other"}))["error"]["code"] == 104


async def test_the_end_of_a_subscription_is_told_with_its_reason(stand: Stand) -> None:
    client = await stand.client("ann")
    for channel in ("a", "b", "kept:c", "d"):
        await client.ask(subscribe={"channel": channel})
    await client.ask(unsubscribe={"channel": "a"})
    client.session.unsubscribe(client, "b", lambda _: None)
    client.session.insufficient("kept:c")
    client.close(4000, "enough")

    assert client.hooks.unsubscribed == [
        ("a", 0, ""),
        ("b", 2000, "server unsubscribe"),
        ("kept:c", 2500, "insufficient state"),
        ("d", 4000, "enough"),
    ]


async def test_a_client_that_cannot_be_answered_is_closed(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when its answer is lost with what it raised: nothing tells the client to go on."""

    def fails(*_: object) -> bytes:
        raise RuntimeError("of one answer")

    client = await stand.client("ann")
    client.hooks.undecided = []
    client.hooks.outcomes[HookKind.RPC, "m"] = HookResult()
    client.say({"rpc": {"method": "m"}})
    monkeypatch.setattr("gateway.protocol.centrifuge.exchange.reply", fails)
    [done] = client.hooks.undecided

    with pytest.raises(RuntimeError, match="of one answer"):
        done(HookResult(b"1"))
    assert client.closed == (1011, "internal error")
