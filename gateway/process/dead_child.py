"""What a supervisor does about a worker process that has ended."""

from __future__ import annotations

from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from gateway.errors import BrokerUnavailable
from gateway.log import get_logger
from gateway.process.server import GatewayWorker
from gateway.protocol.deadlines import FENCE_DEADLINE_S
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.client import fence
from gateway.settings.config import Settings

log = get_logger(__name__)


def halt_for_no_status(arbiter: Arbiter) -> None:
    """Keep gunicorn from stopping everything for a worker that ends with status 3 or 4.

    It takes them for a start that failed, also of a worker that has served for days. Now no status
    equals its codes; an exit with one of them keeps the lower eight bits, which are as before.
    """
    arbiter.WORKER_BOOT_ERROR = 0x100 + Arbiter.WORKER_BOOT_ERROR
    arbiter.APP_LOAD_ERROR = 0x100 + Arbiter.APP_LOAD_ERROR


def halt_if_it_could_not_start(arbiter: Arbiter, worker: GatewayWorker) -> None:
    """End everything if one of the first workers has told that it cannot start.

    Not where everything ends already: gunicorn reaps the others while it stops.
    """
    if worker.start_failure and arbiter.LISTENERS:
        raise HaltServer("a worker could not start", worker.start_failure)


def fence_child(address: RedisAddress, settings: Settings, worker: GatewayWorker) -> None:
    """End the lease of a child that died without leaving, so that others take over at once."""
    name = worker.gateway_worker_id
    try:
        if fence(address, settings.redis_prefix, name, deadline_s=FENCE_DEADLINE_S):
            log.warning("worker died", dead_worker=name, pid=worker.pid)
    except BrokerUnavailable as error:
        log.warning("lease of a dead worker not ended", dead_worker=name, error=str(error))
