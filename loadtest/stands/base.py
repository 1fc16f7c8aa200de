"""The gateway that is tested, as a run sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

import psutil

from loadtest.redis_cluster import RedisCluster


@dataclass
class Processes:
    """The processes of this machine that are the gateway's."""

    workers: list[psutil.Process] = field(default_factory=list)
    redis: list[psutil.Process] = field(default_factory=list)


class Stand:
    """A gateway that somebody else runs: it can be watched from afar, and nothing can be done."""

    can_be_harmed = False
    cluster: RedisCluster | None = None  # that was started for it

    def __init__(self, host: str, api: str, api_key: str) -> None:
        self.host = host
        self.api = api or host
        self.api_key = api_key

    def processes(self) -> Processes:
        return Processes()

    def kill_worker(self) -> str:
        """End one worker at once. Returns what was done, for people."""
        raise NotImplementedError

    def restart_all(self) -> str:
        """Begin to replace all workers, by the product's own means."""
        raise NotImplementedError

    def busy(self) -> bool:
        """Whether a restart that was begun has not come to its end."""
        return False

    def alone(self) -> bool:
        """Whether there is only one of what can be killed: nobody serves in its place."""
        return False

    def close(self, *, at_once: bool = False) -> None:
        """Stop what was started here."""
