"""A session under any sequence of frames, answers, times and moves of the server."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import event, given, settings
from hypothesis import strategies as st

from gateway import close_codes
from gateway.protocol.centrifuge import codes
from gateway.protocol.centrifuge.commands import (
    Connect,
    History,
    Presence,
    PresenceStats,
    Refresh,
    Request,
    Rpc,
    SubRefresh,
    Subscribe,
    Unsubscribe,
)
from gateway.protocol.centrifuge.refusals import Limits
from gateway.protocol.centrifuge.replies import (
    ConnectResult,
    Empty,
    HistoryResult,
    PresenceResult,
    PresenceStatsResult,
    RefreshResult,
    RpcResult,
    SubRefreshResult,
    SubscribeResult,
)
from gateway.protocol.centrifuge.session import Answer, Session
from gateway.protocol.centrifuge.states import State
from gateway.protocol.centrifuge.steps import Ask, End, Step, Write
from tests.unit.protocol.centrifuge.talking import EVERYTHING, said

CHANNELS = st.sampled_from("abc")
DATA = msgspec.Raw(b"1")

ON_CHANNEL = st.tuples(
    st.sampled_from(
        [
            "subscribe",
            "subscribe",
            "unsubscribe",
            "unsubscribe",
            "publish",
            "presence",
            "presence_stats",
            "history",
            "sub_refresh",
        ]
    ),
    CHANNELS,
).map(lambda drawn: (drawn[0], {"channel": drawn[1], "data": 1, "token": "t", "limit": -1}))

# (name, fields); those of WRONG may end the connection
COMMANDS = ON_CHANNEL | st.sampled_from(
    [("rpc", {"method": "m"}), ("refresh", {"token": "t"}), ("dance", {}), ("send", {"data": 1})]
)
WRONG: st.SearchStrategy[str] = st.sampled_from(
    [
        "{}",
        "",
        "nonsense",
        '{"rpc":{}}',
        '{"id":9999,"ping":{}}',
        '{"id":9999,"connect":{}}',
        '{"id":9999,"refresh":{}}',
        '{"id":9999,"subscribe":{}}',
    ]
)

FRAMES = st.tuples(st.just("frame"), st.lists(COMMANDS, min_size=1, max_size=6))
ANSWERS = st.tuples(
    st.just("answer"),
    st.tuples(st.integers(0, 7), st.sampled_from(["ok", "ok", "ok", "ok", "error", "expiring"])),
)
TICKS = st.tuples(st.just("tick"), st.floats(0, 12))
SERVER = st.tuples(
    st.sampled_from(["server unsubscribe", "server insufficient", "server subscribe"]), CHANNELS
)
PONG = st.just(("pong", None))
ENDINGS = st.tuples(st.just("raw"), WRONG) | st.just(("close", None)) | st.just(("deny", None))

PEACEFUL: st.SearchStrategy[Any] = FRAMES | ANSWERS | SERVER
ANYTHING: st.SearchStrategy[Any] = PEACEFUL | TICKS | PONG | ENDINGS


def result(request: Request, ttl: int) -> Answer:  # noqa: PLR0911
    match request:
        case Connect():
            return ConnectResult(ttl=ttl, subs={"c": SubscribeResult(ttl=ttl)})
        case Subscribe():
            return SubscribeResult(ttl=ttl)
        case Presence():
            return PresenceResult({})
        case PresenceStats():
            return PresenceStatsResult(0, 0)
        case History():
            return HistoryResult([], "e", 0)
        case Rpc():
            return RpcResult(DATA)
        case Refresh():
            return RefreshResult(ttl=ttl)
        case SubRefresh():
            return SubRefreshResult(ttl=ttl)
        case _:
            return Empty()


@dataclass
class Talk:
    """A session, whoever answers it, and what its client has got."""

    session: Session = field(
        default_factory=lambda: Session(
            "c1", version="1", available=EVERYTHING, first_ping=0.7, now=0.0,
            limits=Limits(channels=2),
        )
    )  # fmt: skip
    now: float = 0.0
    last_id: int = 1
    sent: dict[int, tuple[str, str]] = field(default_factory=dict)  # id -> command, channel
    owed: dict[int, Request] = field(default_factory=dict)  # ticket -> what is asked
    got: list[Any] = field(default_factory=list)
    ended: bool = False

    def take(self, steps: list[Step]) -> None:
        assert not (self.ended and steps), "nothing follows the end"
        for step in steps:
            assert not self.ended, "the end is the last step"
            if isinstance(step, Write):
                self.got += said([step])
            elif isinstance(step, Ask):
                assert step.ticket not in self.owed
                self.owed[step.ticket] = step.request
                self.check_asked()
            else:
                assert isinstance(step, End)
                self.ended = True
        assert self.ended == (self.session.state is State.CLOSED)
        assert len(self.session.channels) <= 2

    def check_asked(self) -> None:
        """Nothing while connect is open, and one change of a channel at a time."""
        requests = list(self.owed.values())
        if any(isinstance(request, Connect) for request in requests):
            assert len(requests) == 1
        changing = [r.channel for r in requests if isinstance(r, (Subscribe, Unsubscribe))]
        assert len(changing) == len(set(changing))

    def command(self, name: str, fields: dict[str, Any]) -> str:
        if name == "send":
            return json.dumps({"send": fields})
        self.last_id += 1
        self.sent[self.last_id] = name, fields.get("channel", "")
        return json.dumps({"id": self.last_id, name: fields})

    def numbered(self, wrong: str) -> str:
        """One that has an id gets its own: it may be refused in a reply, once."""
        if "9999" not in wrong:
            return wrong
        self.last_id += 1
        self.sent[self.last_id] = "wrong", ""
        return wrong.replace("9999", str(self.last_id))

    def answer(self, which: int, how: str) -> None:
        if self.owed:
            ticket = sorted(self.owed)[which % len(self.owed)]
            request = self.owed.pop(ticket)
            answer: Answer = result(request, ttl=5 if how == "expiring" else 0)
            if how == "error":
                answer = codes.INTERNAL
            if how == "deny":
                answer = close_codes.INVALID_TOKEN
            self.take(self.session.answer(ticket, answer, self.now))

    def do(self, what: str, argument: Any) -> None:
        session = self.session
        match what:
            case "frame":
                self.take(session.receive("\n".join(self.command(*c) for c in argument)))
            case "raw":
                self.take(session.receive(self.numbered(argument)))
            case "pong":
                self.take(session.receive("{}"))
            case "answer":
                self.answer(*argument)
            case "deny":
                self.answer(0, "deny")
            case "tick":
                self.now += argument
                self.take(session.tick(self.now))
            case "server unsubscribe":
                self.take(session.unsubscribe(argument, codes.BY_SERVER))
            case "server insufficient":
                self.take(session.insufficient(argument))
            case "server subscribe":
                self.take(session.subscribe(argument, SubscribeResult(), self.now))
            case _:
                self.take(session.close(close_codes.DRAINED, "drain"))

    def finish(self) -> None:
        while self.owed:
            self.answer(0, "ok")


def check(talk: Talk) -> None:
    replies = [message for message in talk.got if "id" in message]
    times = Counter(message["id"] for message in replies)
    assert all(count == 1 for count in times.values()), "one reply for each"
    assert times.keys() <= {1, *talk.sent}, "and for nothing else"
    if replies:
        assert talk.got[0]["id"] == 1, "the reply to connect is the first of all messages"
    for channel in "abc":
        of_channel = [
            message["id"]
            for message in replies
            if talk.sent.get(message["id"], ("", ""))
            in {("subscribe", channel), ("unsubscribe", channel)}
        ]
        assert of_channel == sorted(of_channel), "changes of a channel are told in their order"
    check_pushes(talk)


def check_pushes(talk: Talk) -> None:
    """A subscription ends only after it has begun, in what the client is told."""
    alive: set[str] = set()
    for message in talk.got:
        push = message.get("push", {})
        name, channel = talk.sent.get(message.get("id", 0), ("", ""))
        if "unsubscribe" in push:
            assert push["channel"] in alive
            alive.discard(push["channel"])
        elif "subscribe" in push:
            assert push["channel"] not in alive
            alive.add(push["channel"])
        elif "connect" in message:
            alive |= message["connect"].get("subs", {}).keys()
        elif name == "subscribe" and "error" not in message:
            assert channel not in alive
            alive.add(channel)
        elif name == "unsubscribe":
            alive.discard(channel)


@given(st.lists(COMMANDS, max_size=5), st.lists(ANYTHING, max_size=30))
@settings(deadline=None)
def test_any_sequence_is_answered_at_most_once_and_ends_once(
    with_connect: list[tuple[str, dict[str, Any]]], moves: list[tuple[str, Any]]
) -> None:
    talk = Talk()
    first = ['{"id":1,"connect":{}}', *(talk.command(*command) for command in with_connect)]
    talk.take(talk.session.receive("\n".join(first)))
    for what, argument in moves:
        talk.do(what, argument)
    talk.finish()

    event("ended" if talk.ended else "alive")
    check(talk)


@given(st.lists(COMMANDS, max_size=5), st.lists(PEACEFUL, max_size=30))
@settings(deadline=None)
def test_each_command_is_answered_while_the_connection_lives(
    with_connect: list[tuple[str, dict[str, Any]]], moves: list[tuple[str, Any]]
) -> None:
    talk = Talk()
    first = ['{"id":1,"connect":{}}', *(talk.command(*command) for command in with_connect)]
    talk.take(talk.session.receive("\n".join(first)))
    for what, argument in moves:
        talk.do(what, argument)
    talk.finish()

    check(talk)
    if not talk.ended:
        event("alive")
        assert {message["id"] for message in talk.got if "id" in message} == {1, *talk.sent}
        assert not talk.session.full


@given(st.lists(st.text(st.characters(codec="utf-8")) | WRONG, max_size=5))
def test_no_text_is_too_strange(texts: list[str]) -> None:
    talk = Talk()
    for text in texts:
        talk.take(talk.session.receive(text))
