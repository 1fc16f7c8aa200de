"""Wrong arguments of every public verb: each is an error that names it, before anything is done."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import pytest

import gateway
from gateway import Gateway, Position, commands
from gateway.backend_client.asynchronous import AsyncClient
from gateway.backend_client.blocking import Client, LoopThread
from gateway.errors import GatewayError
from gateway.testing import Client as ClientOfTest
from gateway.testing import connection, outbox

GOOD: Final[dict[str, dict[str, Any]]] = {
    "send": {"connection": "c", "text": "t", "key": "k"},
    "disconnect": {"connection": "c", "code": 4000, "reason": "r"},
    "send_to_user": {"user": "u", "text": "t", "key": "k"},
    "disconnect_user": {"user": "u", "code": 4000, "reason": "r"},
    "connections": {"user": "u"},
    "publish": {
        "channel": "c",
        "data": 1,
        "tags": {"a": "b"},
        "idempotency_key": "k",
        "version": 0,
        "history": True,
    },
    "broadcast": {
        "channels": ["c"],
        "data": 1,
        "tags": {"a": "b"},
        "idempotency_key": "k",
        "version": 0,
        "history": True,
    },
    "subscribe": {"connection": "c", "channel": "c"},
    "unsubscribe": {"connection": "c", "channel": "c"},
    "history": {"channel": "c", "limit": 1, "since": Position("", 0), "reverse": False},
    "remove_history": {"channel": "c"},
    "presence": {"channel": "c"},
    "presence_stats": {"channel": "c"},
    "channels": {"pattern": "*", "after": "", "limit": 1},
    "batch": {"commands": [commands.Send("c", "t")]},
}
COMMANDS: Final[dict[str, Any]] = {
    name: getattr(commands, name) for name in commands.__all__ if name != "Command"
}
TEST: Final[dict[str, dict[str, Any]]] = {
    "send": {"text": "t", "attempt": 1},
    "subscribe": {"channel": "c", "data": 1, "token_claims": {}, "attempt": 1},
    "publish": {"channel": "c", "data": 1, "info": 1, "attempt": 1},
    "unsubscribe": {"channel": "c", "code": 0, "reason": "", "attempt": 1},
    "call": {"method": "m", "data": 1, "attempt": 1},
}
FACTS: Final[dict[str, Any]] = {
    "headers": {"cookie": "a"},
    "query": "",
    "address": "192.0.2.1",
    "subprotocols": ("v1",),
}
OPENING: Final[dict[str, Any]] = {"redis_url": "redis://host", "prefix": "gw", "lease_s": 5.0}


def generator() -> Iterator[str]:
    yield "c"


HALF: Final = "half \ud800"
_TEXT: Final = [b"c", 7, None, ["c"], generator(), HALF]
_KEY: Final = [b"k", 7, "", generator(), HALF]
_SWITCH: Final = ["no", 1, None, generator()]
_WHOLE: Final = ["1", 1.0, None, True, generator()]
WRONG: Final[dict[str, list[Any]]] = {
    **dict.fromkeys(("connection", "text", "user", "channel", "pattern", "after"), _TEXT),
    **dict.fromkeys(("reason", "method", "query", "address"), _TEXT),
    **dict.fromkeys(("key", "idempotency_key"), _KEY),
    "tags": [
        "a=b", 7, [("a", "b")], generator(), {1: "a"}, {"a": 1}, {"a": None}, {b"a": "b"},
        {"a": HALF}, {HALF: "a"},
    ],
    "data": [object(), generator(), {(1, 2): 1}, HALF, {"a": {object()}}, 10**5000],
    "info": [object(), generator(), HALF],
    "token_claims": [object(), generator(), "claims", [1], {"a": object()}],
    "version": [*_WHOLE, -1, 1 << 53],
    "limit": [*_WHOLE, -1, 100_000, 10**5000],
    "attempt": [*_WHOLE, 0, 4],
    "code": [*_WHOLE],
    **dict.fromkeys(("history", "reverse"), _SWITCH),
    "channels": ["c", b"c", {"c"}, {"c": 1}, generator(), None, 7, ["c", 7], ["c", HALF]],
    "since": ["a", ("", 1), 7, Position("", cast(Any, "1")), Position(cast(Any, 1), 1)],
    "commands": [generator(), None, "send", {"send": {}}, [None], [{"send": {}}]],
    "headers": ["cookie", [("a", "b")], generator(), {"cookie": 1}, {1: "a"}, {"a": HALF}],
    "subprotocols": ["v1", 7, None, generator(), {"v1"}, ["v1", 7]],
    "expires_at": ["soon", generator(), True],
    "redis_url": [b"redis://host", 7, generator()],
    "prefix": [*_TEXT, "", "a b", "{a}", "é", "-"],
    "lease_s": ["5", None, generator(), True, 0, -1.0, float("nan")],
    "receipt": ["written", None, generator()],
    "namespaces": ["room", {"room": {}}, generator()],
    "settings": ["redis://host", {}, generator()],
}  # fmt: skip


def wrong(good: dict[str, dict[str, Any]]) -> list[Any]:
    return [
        pytest.param(verb, name, bad, id=f"{verb}-{name}-{at}")
        for verb, arguments in good.items()
        for name in arguments
        for at, bad in enumerate(WRONG[name])
    ]


def check(error: BaseException, name: str) -> None:
    """One of the two, in one line, which says what is wrong with which argument."""
    said = str(error)
    assert isinstance(error, TypeError | ValueError)
    assert not isinstance(error, GatewayError)
    assert name.removesuffix("s") in said
    assert any(word in said for word in (" is ", " has ", " cannot be ", "="))
    assert len(said) < 250
    assert "\n" not in said


@pytest.fixture(scope="module")
def thread() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.stop()


def nobody() -> AsyncClient:
    """One that fails in another way as soon as anything is done."""
    nothing = cast(Any, None)
    return AsyncClient(nothing, nothing, nothing, nothing, nothing)


@pytest.mark.parametrize("kind", [Gateway, AsyncClient, Client])
def test_every_verb_is_tried(kind: type) -> None:
    """Red when there is a verb, or an argument of one, that the table does not know."""
    no_verbs = {"asgi", "lifespan", "worker"}
    verbs = {
        name: list(inspect.signature(verb).parameters)[1:]
        for name, verb in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith(("_", "on_")) and name not in no_verbs
    }

    assert verbs == {name: list(arguments) for name, arguments in GOOD.items()}


@pytest.mark.parametrize(("verb", "name", "bad"), wrong(GOOD))
async def test_a_wrong_argument_is_named(
    verb: str, name: str, bad: Any, thread: LoopThread
) -> None:
    """Of a gateway that runs in a test and one that does not, and of both clients."""
    arguments = GOOD[verb] | {name: bad}
    app = Gateway()
    with outbox(app) as sent, pytest.raises(Exception) as in_a_test:  # noqa: PT011 (looked at)
        await getattr(app, verb)(**arguments)
    assert sent.taken == []
    with pytest.raises(Exception) as without_worker:  # noqa: PT011
        await getattr(app, verb)(**arguments)
    with pytest.raises(Exception) as of_client:  # noqa: PT011
        await getattr(nobody(), verb)(**arguments)
    with pytest.raises(Exception) as blocking:  # noqa: PT011
        getattr(Client(nobody(), thread), verb)(**arguments)

    check(in_a_test.value, name)
    for other in (without_worker, of_client, blocking):
        assert (other.type, str(other.value)) == (in_a_test.type, str(in_a_test.value))


@pytest.mark.parametrize(
    ("command", "name", "bad"),
    [
        pytest.param(command, name, bad, id=f"{command}-{name}-{at}")
        for command, kind in COMMANDS.items()
        for name in inspect.signature(kind).parameters
        if name != "data"  # it is looked at where it is published
        for at, bad in enumerate(WRONG[name])
    ],
)
def test_a_wrong_argument_of_a_command_is_named_where_it_is_made(
    command: str, name: str, bad: Any
) -> None:
    verb = "".join(f"_{each.lower()}" if each.isupper() else each for each in command)[1:]
    with pytest.raises(Exception) as raised:  # noqa: PT011
        COMMANDS[command](**GOOD[verb] | {name: bad})

    check(raised.value, name)


class Markup(str):
    """A template's text: no envelope carries one of a class of its own."""

    __slots__ = ()


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "Broadcast"])
def test_a_command_has_plain_texts_whatever_their_class(command: str) -> None:
    """Red when they are passed on, by any verb: each is carried out by its command."""
    verb = "".join(f"_{each.lower()}" if each.isupper() else each for each in command)[1:]
    given = {n: Markup(v) if isinstance(v, str) else v for n, v in GOOD[verb].items()}

    made = COMMANDS[command](**given)

    texts = {name: getattr(made, name) for name in given if isinstance(given[name], Markup)}
    assert texts
    assert {type(each) for each in texts.values()} == {str}
    assert texts == {name: given[name] for name in texts}


@pytest.mark.parametrize(("verb", "name", "bad"), wrong(TEST))
async def test_a_wrong_argument_of_a_client_of_a_test_is_named(
    verb: str, name: str, bad: Any
) -> None:
    client, asked = ClientOfTest(app := Gateway()), []

    @app.on_message
    async def answer(message: object) -> None:
        asked.append(message)

    async def decide(question: object) -> None:
        asked.append(question)

    for hook in (app.on_subscribe, app.on_publish, app.on_unsubscribe, app.on_rpc):
        hook("*")(decide)

    await getattr(client, verb)(**TEST[verb])
    asked.clear()
    with pytest.raises(Exception) as raised:  # noqa: PT011
        await getattr(client, verb)(**TEST[verb] | {name: bad})

    check(raised.value, name)
    assert not asked


def test_every_verb_of_a_client_of_a_test_is_tried() -> None:
    verbs = {
        name: list(inspect.signature(verb).parameters)[1:]
        for name, verb in inspect.getmembers(ClientOfTest, inspect.isfunction)
        if not name.startswith("_")
    }

    assert verbs == {name: list(said) for name, said in TEST.items()} | {
        "connect": [],
        "disconnect": [],
    }


MAKERS: Final[dict[str, tuple[Callable[..., Any], dict[str, Any]]]] = {
    "Client": (lambda **facts: ClientOfTest(Gateway(), **facts), FACTS),
    "connection": (connection, FACTS | {"expires_at": 1.0}),
    "client": (gateway.client, OPENING),
    "Gateway": (Gateway, {"settings": None}),
    "outbox": (lambda **how: outbox(Gateway(), **how).__enter__(), {"receipt": 0, "namespaces": 0}),
}


@pytest.mark.parametrize(
    ("maker", "name", "bad"),
    [
        pytest.param(maker, name, bad, id=f"{maker}-{name}-{at}")
        for maker, (_, good) in MAKERS.items()
        for name in good
        for at, bad in enumerate(WRONG[name])
    ],
)
def test_a_wrong_argument_of_what_makes_one_is_named(maker: str, name: str, bad: Any) -> None:
    make, good = MAKERS[maker]
    with pytest.raises(Exception) as raised:  # noqa: PT011
        make(**{each: value for each, value in good.items() if value != 0} | {name: bad})

    check(raised.value, name)


@pytest.mark.parametrize("what", [ClientOfTest, lambda app: outbox(app).__enter__()])
@pytest.mark.parametrize(
    ("app", "given"),
    [(None, "NoneType"), ("app", "str"), (Gateway, "the class Gateway"), (object(), "object")],
)
def test_what_is_no_gateway_is_said(what: Callable[[Any], object], app: Any, given: str) -> None:
    with pytest.raises(TypeError, match=f"gateway is {given}, not Gateway"):
        what(app)


def test_a_user_of_a_connection_may_be_none() -> None:
    assert connection(user=None).user is None
    with pytest.raises(TypeError, match="user is int, not str or None"):
        connection(user=cast(Any, 7))
