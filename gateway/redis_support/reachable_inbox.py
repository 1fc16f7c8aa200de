"""Which ids have an inbox at a master of the Cluster that answers.

An inbox has a slot of its own (ADR 20). A worker without one is never ready, and to a
``gateway.client`` without one comes no answer: who starts while a master is away takes an id of
another slot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from redis.exceptions import AuthenticationError, BusyLoadingError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeout

from gateway.log import get_logger
from gateway.protocol.deadlines import INBOX_CHOICE_S
from gateway.protocol.ids import WorkerId
from gateway.redis_support import keys
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.client import blocking_client
from gateway.redis_support.first_answer import first_answer
from gateway.redis_support.reconnect import reasons
from gateway.redis_support.slots import slot_of
from gateway.redis_support.stream import Endpoint

log = get_logger(__name__)

MAX_DRAWS: Final = 10_000  # for one more master: what has so few slots is not worth more
_REPLIES: Final = (ResponseError, BusyLoadingError, AuthenticationError)  # refused, by who is there


def with_reachable_inbox(
    address: RedisAddress, prefix: str, *, draw: Callable[[], WorkerId]
) -> WorkerId:
    """The first id drawn in whose inbox something can be published now.

    A master that does not answer soon is waited for while another one is asked about its own id:
    whoever answers first is taken. If nobody does in time, an id at the master that is the least
    likely to be away: one that answers and refuses, before one that is silent, before one to which
    there is no connection. Any id, if nobody says where masters are.

    Blocks for ``INBOX_CHOICE_S`` at most: half for where masters are, half for their answers. A
    few threads may end later.

    Args:
        address: Of a Cluster.
    """
    assert address.cluster is not None
    first = draw()
    nodes = address.cluster.nodes
    seeds = [partial(nodes.ask_blocking, seed) for seed in nodes.seeds]
    errors: list[Exception] = []
    sight = first_answer(seeds, deadline_s=INBOX_CHOICE_S / 2, errors=errors)
    if sight is None:
        log.warning("no inbox within reach", new_id=first, away=[], error=reasons(errors))
        return first
    errors.clear()
    asked = _Asked(address, prefix, sight.owners)
    questions = asked.questions(first, draw)
    worker = first_answer(questions, deadline_s=INBOX_CHOICE_S / 2, errors=errors)
    chosen = worker or asked.likeliest or first
    away = sorted(f"{host}:{port}" for host, port in asked.others_than(chosen))
    if worker is None:
        log.warning("no inbox within reach", new_id=chosen, away=away, error=reasons(errors))
    elif away:
        why = reasons(errors)  # empty, where they are only slow
        log.warning("id chosen for its inbox", new_id=chosen, away=away, error=why)
    return chosen


class _Asked:
    """Masters that were asked to take something for an inbox, each for that of another id."""

    def __init__(
        self, address: RedisAddress, prefix: str, owners: Sequence[Endpoint | None]
    ) -> None:
        self._address = address
        self._prefix = prefix
        self._owners = owners
        self._workers: dict[Endpoint, WorkerId] = {}  # in the order in which they were asked
        self._failed: dict[Endpoint, Exception] = {}

    def questions(
        self, worker: WorkerId, draw: Callable[[], WorkerId]
    ) -> Iterator[Callable[[float], WorkerId]]:
        """One for each master, that of ``worker`` first. Each returns its id once it is taken."""
        untried = set(self._owners) - {None}
        draws = 0
        while untried and draws < MAX_DRAWS:
            inbox = keys.inbox(self._prefix, worker)
            owner = self._owners[slot_of(inbox)]
            if owner is not None and owner in untried:
                untried.remove(owner)
                draws = 0
                self._workers[owner] = worker
                yield partial(self._publish, owner, inbox)
            worker = draw()
            draws += 1

    @property
    def likeliest(self) -> WorkerId | None:
        """The id whose master is the least likely to be away. None if nobody was asked."""
        masters = sorted(self._workers, key=self._doubt)  # keeps the order of those that are alike
        return self._workers[masters[0]] if masters else None

    def others_than(self, worker: WorkerId) -> list[Endpoint]:
        return [master for master, of in self._workers.items() if of != worker]

    def _doubt(self, master: Endpoint) -> int:
        error = self._failed.get(master)
        if isinstance(error, _REPLIES):
            return 0
        return 1 if error is None or isinstance(error, RedisTimeout) else 2

    def _publish(self, owner: Endpoint, inbox: str, deadline_s: float) -> WorkerId:
        master = self._address.at(owner)
        try:
            with blocking_client(master, deadline_s=deadline_s, protocol=2) as server:
                server.execute_command(master.publish_verb, inbox, b"")
        except Exception as error:
            self._failed[owner] = error
            raise
        return self._workers[owner]
