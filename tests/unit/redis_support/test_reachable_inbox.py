"""Where a worker of a Cluster lives whose masters are slow, frozen, or away."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from gateway.protocol.ids import WorkerId
from gateway.redis_support import first_answer, keys, reachable_inbox
from gateway.redis_support.reachable_inbox import with_reachable_inbox
from gateway.redis_support.slots import slot_of
from gateway.redis_support.stream import Endpoint
from gateway.redis_support.url import parse
from tests.support.ids import new_worker_id
from tests.support.logs import capture_logs
from tests.support.ports import free_port
from tests.support.stub_redis import StubRedis, cluster_answers, share

SLOW_S = 0.15  # well above PATIENCE_S, and below INBOX_CHOICE_S
MASTERS = 3


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_answer, "PATIENCE_S", 0.02)


@pytest.fixture
def masters() -> Iterator[list[StubRedis]]:
    """All of them name all of them."""
    made: list[StubRedis] = []
    answers = cluster_answers(lambda: [one.at for one in made])
    with ExitStack() as stack:
        made += [stack.enter_context(StubRedis(answers)) for _ in range(MASTERS)]
        yield made


def url(*seeds: Endpoint) -> str:
    return "redis+cluster://" + ",".join(f"{host}:{port}" for host, port in seeds)


def id_at(number: int) -> WorkerId:
    """One whose inbox is at this master."""
    workers = (new_worker_id() for _ in itertools.count())
    return next(one for one in workers if slot_of(keys.inbox("gw", one)) in share(number, MASTERS))


def drawn(*numbers: int) -> Callable[[], WorkerId]:
    """Ids at these masters, and at the last of them for ever after."""
    ids = [id_at(number) for number in numbers]
    return itertools.chain(ids, itertools.repeat(ids[-1])).__next__


def home(worker: WorkerId) -> int:
    slot = slot_of(keys.inbox("gw", worker))
    return next(number for number in range(MASTERS) if slot in share(number, MASTERS))


def chosen(seeds: list[Endpoint], draw: Callable[[], WorkerId]) -> int:
    return home(with_reachable_inbox(parse(url(*seeds)), "gw", draw=draw))


def test_the_first_id_will_do_where_its_master_answers(
    masters: list[StubRedis], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_answer, "PATIENCE_S", 30.0)  # on a busy machine the first is late
    with capture_logs() as logs:
        assert chosen([one.at for one in masters], drawn(1, 0)) == 1

    assert logs == []


def test_masters_that_are_slow_are_not_those_that_are_away(masters: list[StubRedis]) -> None:
    """Red when each has a time of its own in which to answer: any id was taken then."""
    masters[0].after_s = None
    masters[1].after_s = masters[2].after_s = SLOW_S

    with capture_logs() as logs:
        assert chosen([one.at for one in masters], drawn(0, 1, 2, 0)) in (1, 2)

    assert f"127.0.0.1:{masters[0].at[1]}" in logs[0]["away"]


def test_nodes_that_are_frozen_do_not_hide_where_masters_are(masters: list[StubRedis]) -> None:
    """Red when they are asked in turn, with a time for all of them."""
    masters[0].after_s = masters[1].after_s = None

    assert chosen([one.at for one in masters], drawn(0, 1, 2)) == 2


@pytest.mark.parametrize("first", [0, 1, 2])
def test_where_nobody_takes_it_the_master_least_likely_away(
    masters: list[StubRedis], monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """One is frozen, one has no process, and one answers that the Cluster is down."""
    monkeypatch.setattr(reachable_inbox, "INBOX_CHOICE_S", 0.4)
    masters[0].after_s = None
    gone = ("127.0.0.1", free_port())
    owners = [masters[0].at, gone, masters[2].at]
    takes = cluster_answers(lambda: owners)

    def answer(command: tuple[str, ...]) -> bytes:
        return b"-CLUSTERDOWN it is down\r\n" if command[0] == "SPUBLISH" else takes(command)

    masters[2].answer = answer
    others = [number for number in range(MASTERS) if number != first]

    with capture_logs() as logs:
        assert chosen([masters[2].at], drawn(first, *others)) == 2

    assert [line["event"] for line in logs] == ["no inbox within reach"]
    assert sorted(logs[0]["away"]) == sorted(f"{h}:{p}" for h, p in owners[:2])
    for why in ("no answer within", "Connection refused", "it is down"):
        assert why in logs[0]["error"]
    owners[2] = gone

    assert chosen([masters[2].at], drawn(first, *others)) == 0


def test_it_takes_no_longer_than_it_may(
    masters: list[StubRedis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody is there, and where an id of no other master is ever drawn."""
    monkeypatch.setattr(reachable_inbox, "INBOX_CHOICE_S", 0.4)
    began = time.monotonic()
    with capture_logs() as logs:
        assert chosen([("127.0.0.1", free_port())], drawn(1)) == 1
    [said] = logs
    assert (said["event"], said["away"]) == ("no inbox within reach", [])
    assert "Connection refused" in said["error"]
    for one in masters[1:]:
        one.after_s = None
    assert chosen([one.at for one in masters], drawn(1)) == 1
    masters[0].after_s = None
    assert chosen([one.at for one in masters], drawn(1)) == 1

    assert time.monotonic() - began < 10
