"""A supervisor that ends the lease of a dead child, whatever nodes of a Cluster answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from gateway.errors import BrokerUnavailable
from gateway.protocol.ids import WorkerId
from gateway.redis_support.client import fence
from gateway.redis_support.url import parse
from tests.support.ids import new_worker_id
from tests.support.stub_redis import StubRedis, cluster_answers

DEADLINE_S = 5.0
CHILD: WorkerId = new_worker_id()


class Moving:
    """Two masters. One owns all slots, and says that the other one has the keys already."""

    def __init__(self, owner: StubRedis, importing: StubRedis) -> None:
        self.owner, self.importing = owner, importing
        self.refusal = f"ASK 7 127.0.0.1:{importing.at[1]}"
        self.evals = 0  # at the owner
        owner.answer = self._own
        importing.answer = self._import

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.owner.at[1]}"

    def _own(self, command: tuple[str, ...]) -> bytes:
        if command[0] == "EVAL":
            self.evals += 1
            return b"-%b\r\n" % self.refusal.encode()
        return self._tell(command)

    def _import(self, command: tuple[str, ...]) -> bytes:
        if command[0] in ("ASKING", "EVAL"):
            return b":1\r\n"
        return self._tell(command)

    def _tell(self, command: tuple[str, ...]) -> bytes:
        if command[0] == "HELLO":
            return b"%1\r\n$5\r\nproto\r\n:3\r\n"
        return cluster_answers(lambda: [self.owner.at])(command)


@pytest.fixture
def moving() -> Iterator[Moving]:
    with ExitStack() as stack:
        yield Moving(*(stack.enter_context(StubRedis(lambda _: b"")) for _ in range(2)))


@pytest.mark.parametrize("host", ["127.0.0.1", "", "?"])
def test_the_host_that_is_not_told_is_the_one_that_was_asked(moving: Moving, host: str) -> None:
    """Red when it is taken as it is told: nobody was asked, and the lease ran to its end."""
    moving.refusal = f"ASK 7 {host}:{moving.importing.at[1]}"

    assert fence(parse(moving.url), "gw", CHILD, deadline_s=DEADLINE_S)

    said = [command[0] for command in moving.importing.heard]
    assert said[said.index("ASKING") :][:2] == ["ASKING", "EVAL"]
    assert moving.evals == 1


@pytest.mark.parametrize("refusal", ["TRYAGAIN later", "ASK 7 127.0.0.1:99999"])
def test_a_slot_that_moves_on_and_on_is_given_up(moving: Moving, refusal: str) -> None:
    """It is asked again and again, and nothing else comes of what cannot be followed.

    Red when it is said not to answer.
    """
    moving.refusal = refusal

    with pytest.raises(BrokerUnavailable, match=f"refuses: {refusal}"):
        fence(parse(moving.url), "gw", CHILD, deadline_s=0.2)

    assert moving.evals > 1


@pytest.mark.parametrize("refusal", ["ASK 7", "ASK x y:z"])
def test_a_redirection_that_cannot_be_read_is_no_fence(moving: Moving, refusal: str) -> None:
    """Red when it ends the supervisor: redis-py takes it apart, and raises ValueError."""
    moving.refusal = refusal

    with pytest.raises(BrokerUnavailable):
        fence(parse(moving.url), "gw", CHILD, deadline_s=DEADLINE_S)


def test_a_node_alone_that_is_of_a_cluster_is_not_followed(moving: Moving) -> None:
    url = f"redis://127.0.0.1:{moving.owner.at[1]}"

    with pytest.raises(BrokerUnavailable):
        fence(parse(url), "gw", CHILD, deadline_s=0.2)

    assert moving.importing.heard == []


def test_who_is_redirected_has_what_is_left_of_its_time(moving: Moving) -> None:
    """Red when it begins anew with every redirection: a supervisor waited for twice of it."""
    owned = moving.owner.answer

    def late(command: tuple[str, ...]) -> bytes:
        if command[0] == "EVAL":
            time.sleep(0.4)
        return owned(command)

    moving.owner.answer = late
    moving.importing.after_s = None  # it is frozen
    began = time.monotonic()

    with pytest.raises(BrokerUnavailable):
        fence(parse(moving.url), "gw", CHILD, deadline_s=0.5)

    assert moving.importing.heard
    assert time.monotonic() - began < 0.85  # and not 0.4 and 0.5
