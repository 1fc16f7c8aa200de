"""Which of the workers that one knows handle, and to which of them it takes messages. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import WorkerInfo
from gateway.protocol.subset import subset

_Workers = tuple[WorkerId, ...]


class HandlerWorkers(NamedTuple):
    """Each in the order of their ids, but for what spreads the targets over hosts.

    Attributes:
        handlers: All handling workers.
        hook_handlers: Of these, whom one may ask for hooks.
        targets: Those of the handling workers to which this one takes messages.
        hook_targets: The same of ``hook_handlers``.
    """

    handlers: _Workers
    hook_handlers: _Workers
    targets: _Workers
    hook_targets: _Workers


def handler_workers(
    me: WorkerId,
    known: Mapping[WorkerId, WorkerInfo],
    *,
    size: int,
    avoided: Collection[WorkerId],
) -> HandlerWorkers:
    """Those that handle, of ``known``; and those that are for ``me``.

    Args:
        size: To so many handling workers it takes messages, where there are more.
        avoided: None of these is a target as long as there are others.
    """
    living = [(worker, known[worker]) for worker in sorted(known)]
    able = [(worker, info) for worker, info in living if info.handler]
    staying = [(worker, info) for worker, info in able if not info.leaving]
    elected = staying or able  # when all are leaving, they serve to the end
    # While an upgrade brings the first hooks, the workers that have them; without any, those
    # that know at least what they are asked.
    readers = [(worker, info.hooks) for worker, info in elected if info.hooks is not None]
    handlers = tuple([worker for worker, _ in elected])
    hook_handlers = tuple([worker for worker, hooks in readers if hooks]) or tuple(
        [worker for worker, _ in readers]
    )
    edges = [worker for worker, info in living if info.edge and not info.leaving]
    share_of = partial(subset, me, edges, size=size, host_of=lambda worker: known[worker].host)
    targets = _without(avoided, handlers, share_of)
    same = hook_handlers == handlers
    hook_targets = targets if same else _without(avoided, hook_handlers, share_of)
    return HandlerWorkers(handlers, hook_handlers, targets, hook_targets)


def _without(
    avoided: Collection[WorkerId],
    handlers: Sequence[WorkerId],
    share_of: Callable[[Sequence[WorkerId]], _Workers],
) -> _Workers:
    """One's own share, without those to be avoided: of all others, where none of it is left."""
    taken = share_of(handlers)
    if not avoided:
        return taken
    left = tuple([worker for worker in taken if worker not in avoided])
    return left or share_of([worker for worker in handlers if worker not in avoided]) or taken
