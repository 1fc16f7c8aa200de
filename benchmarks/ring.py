"""What the ring costs an edge that picks among some workers.

    python -m benchmarks.ring --workers 16 200 1000

The least CPU of several rounds: of what a busy machine adds, most is left out.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from typing import Final

from gateway.protocol.hash_ring import HashRing
from gateway.protocol.ids import WorkerId, connection_id, worker_id

CONNECTIONS: Final = 15_000
ROUNDS: Final = 9


def least_s(what: Callable[[], object]) -> float:
    """CPU of the cheapest of several rounds."""
    took_s = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        what()
        took_s.append(time.process_time() - begin)
    return min(took_s)


def measure(count: int) -> str:
    dice = random.Random(count)
    workers = [worker_id(dice.randbytes(10)) for _ in range(count + 1)]
    some, all_of_them = workers[:-1], workers
    owner = WorkerId("a" * 16)
    connections = [connection_id(owner, dice.randbytes(16)) for _ in range(CONNECTIONS)]
    ring = HashRing()

    def pick_each(ring: HashRing = ring) -> None:
        for connection in connections:
            ring.pick(connection, some)

    def join_and_leave() -> None:
        ring.pick(connections[0], all_of_them)
        ring.pick(connections[0], some)

    pick_each()
    pick_s, change_s = least_s(pick_each), least_s(join_and_leave)
    first_s = least_s(lambda: HashRing().pick(connections[0], some))
    anew_s = least_s(lambda: pick_each(HashRing()))
    return (
        f"{count:5d} workers: a pick {1e6 * pick_s / CONNECTIONS:.2f} us   "
        f"one joins and leaves {1e3 * change_s:.2f} ms   "
        f"the first pick of all {1e3 * first_s:.2f} ms   "
        f"{CONNECTIONS} picks of a new ring {1e3 * anew_s:.1f} ms, without the picks "
        f"{1e3 * (anew_s - pick_s):.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ring")
    parser.add_argument("--workers", type=int, nargs="+", default=[16, 200, 1000])
    for count in parser.parse_args().workers:
        print(measure(count), flush=True)


if __name__ == "__main__":
    main()
