"""Which handling workers an edge takes messages to: some of them, where there are many.

A batch is to one worker. An edge that spread its messages over two hundred would send batches of
one message each; over sixteen, they are long (``docs/adr/0022-an-edge-talks-to-some-handlers.md``).

Deterministic subsetting: all edges and all handling workers stand in the order of their ids, which
is random, and the circle of handling workers is cut into as many parts as there are edges. An edge
takes its own part and those of the edges after it. So each handling worker is taken by the same
number of edges, whatever the two numbers are. Where all workers are both, an edge takes itself and
those that follow it: whoever comes or goes changes one place at each of those before it, and
nothing at others.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from gateway.protocol.ids import WorkerId

SUBSET: Final = 16
FEWEST_EDGES: Final = 4  # that take one handling worker: edges have not all the same load


def subset(
    me: WorkerId,
    edges: Sequence[WorkerId],
    handlers: Sequence[WorkerId],
    *,
    size: int,
    host_of: Callable[[WorkerId], str],
) -> tuple[WorkerId, ...]:
    """Those of ``handlers`` that ``me`` takes messages to.

    Args:
        me: One of ``edges``. Whoever is not takes those of the edge that follows it.
        edges: In order.
        handlers: In order.
        size: About so many, by an eighth. All, where there are no more.

    Returns:
        Each handling worker once. More than ``size`` where the edges are few: at least
        ``FEWEST_EDGES``, or all of them, take each. Others than those of one host are among them,
        if there are any: half of their share, at least one.
    """
    count = len(handlers)
    # Rounded to the nearest: where there are as many of both, one more or less changes nothing.
    taken_by = max(FEWEST_EDGES, (2 * size * len(edges) + count) // max(1, 2 * count))
    if taken_by >= len(edges):
        return tuple(handlers)
    number = bisect_left(edges, me)
    first, end = [n * count // len(edges) for n in (number, number + taken_by)]
    taken = [handlers[place % count] for place in range(first, end)]
    hosts = Counter(map(host_of, taken))
    host = max(hosts, key=hosts.__getitem__)
    if hosts[host] <= len(taken) // 2:  # the others are enough, whatever their share is
        return tuple(taken)
    walk = [handlers[place % count] for place in range(first, first + count)]
    return _spread(walk, len(taken), host, host_of)


def _spread(
    walk: Sequence[WorkerId], size: int, host: str, host_of: Callable[[WorkerId], str]
) -> tuple[WorkerId, ...]:
    """The first ``size`` of ``walk``, but for the last of ``host`` where that has too many."""
    own = [worker for worker in walk[:size] if host_of(worker) == host]
    others = [worker for worker in walk if host_of(worker) != host]
    wanted = min(len(others), max(1, size * len(others) // (2 * len(walk))))
    if len(own) <= size - wanted:
        return tuple(walk[:size])
    return (*own[: size - wanted], *others[:wanted])
