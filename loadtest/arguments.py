"""What a load test is asked to do, checked before anything starts.

Every complaint is one line, and exit code 2.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit


class Refused(Exception):
    """Shown as is; the process exits 2."""


HISTORY: Final = 300  # publications, of the gateway that is started
FEWEST: Final = 4
MASTERS: Final = 3  # fewer are no Cluster: one that fails could not be voted on


@dataclass(frozen=True, slots=True)
class Usual:
    """What a scenario does when it is not told otherwise, and what it is about."""

    about: str
    users: int
    rate: float
    seconds: float
    needs_stand: bool = False
    channels: int = 0
    masters: int = 0


# The names, here and not in the scenarios themselves, so that they can be checked without locust.
SCENARIOS: Final[Mapping[str, Usual]] = {
    "steady": Usual("the same load all the time, sent on schedule", 200, 500, 30),
    "ramp": Usual("RATE grows by a quarter every few seconds, until it is too much", 200, 500, 120),
    "connect_storm": Usual("all clients come at once, twice more after a loss", 300, 100, 30),
    "slow_readers": Usual("a tenth of the clients stops reading", 100, 200, 40),
    "push": Usual("a backend sends to connections over HTTP, RATE a second", 200, 200, 30),
    "soak": Usual("many connections for long; memory must not grow", 1000, 100, 600),
    "rolling_restart": Usual("all workers are replaced, twice", 200, 400, 40, True),
    "kill_worker": Usual("a worker is killed, twice", 200, 400, 40, True),
    "fanout": Usual("RATE publications a second in channels, to all the others", 200, 40, 30,
                    channels=4),
    "recovery": Usual("the same, and a worker is killed, twice", 200, 40, 40, True, channels=4),
    "reshard": Usual("all slots in use of a Cluster move, again and again", 200, 400, 40, True,
                     masters=3),
    "reshard_channels": Usual("all slots in use of a Cluster move under publications in channels",
                              200, 40, 40, True, channels=12, masters=3),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Arguments:
    """Of one run."""

    scenario: str
    users: int
    rate: float
    seconds: float
    spawn_rate: float = 0.0  # users started a second; 0: as the scenario has it
    host: str = ""
    api: str = ""
    api_key: str = ""
    compose: str = ""
    workers: int = 2
    processes: int = 1
    redis_metrics: str = ""
    p99_ms: float = 50.0
    channels: int = 0
    history: int = 0
    masters: int = 0
    results: str = "loadtest/results"

    @property
    def asks_for_own_gateway(self) -> bool:
        return not self.host


@dataclass(frozen=True, slots=True)
class _Option:
    flag: str
    kind: type
    help: str
    on_page: bool = True


OPTIONS: Final = (
    _Option("scenario", str, f"one of: {', '.join(SCENARIOS)}", on_page=False),
    _Option("rate", float, "messages a second of all users together"),
    _Option("seconds", float, "how long, once everybody is connected"),
    _Option("workers", int, "workers of the gateway that is started without a host", on_page=False),
    _Option("api", str, "where the connection API and /metrics are, if not at the host"),
    _Option("api-key", str, "key of the connection API", on_page=False),
    _Option("compose", str, "the host is the compose project of this name", on_page=False),
    _Option("redis-metrics", str, "the URL of a redis_exporter's metrics", on_page=False),
    _Option("p99-ms", float, "ramp: the latency that is too much"),
    _Option("channels", int, "fanout, recovery: channels"),
    _Option("history", int, "fanout, recovery: publications that a channel keeps; 0: not known"),
    _Option("masters", int, "of a Redis Cluster that is started for that gateway", on_page=False),
    _Option("results", str, "folder for reports", on_page=False),
)


def environment_name(flag: str) -> str:
    return "LOADTEST_" + flag.replace("-", "_").upper()


class _OneLine(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refused(message)


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Arguments:
    """Read the command line of locust as far as it concerns us.

    Raises:
        Refused: Something cannot be.
    """
    parser = _OneLine(add_help=False, allow_abbrev=False)
    for option in OPTIONS:
        parser.add_argument(f"--{option.flag}")
    parser.add_argument("-u", "--users")
    parser.add_argument("-r", "--spawn-rate")
    parser.add_argument("-t", "--run-time")
    parser.add_argument("-H", "--host")
    parser.add_argument("--processes")
    given, _ = parser.parse_known_args(list(argv))
    raw: dict[str, str] = {
        name: value
        for name, value in {
            **{o.flag.replace("-", "_"): environ.get(environment_name(o.flag)) for o in OPTIONS},
            "users": environ.get("LOCUST_USERS"),
            "spawn_rate": environ.get("LOCUST_SPAWN_RATE"),
            "run_time": environ.get("LOCUST_RUN_TIME"),
            "host": environ.get("LOCUST_HOST"),
            "processes": environ.get("LOCUST_PROCESSES"),
            **{name: value for name, value in vars(given).items() if value is not None},
        }.items()
        if value
    }
    return check(raw)


def check(raw: Mapping[str, Any]) -> Arguments:
    """Fill in what is usual for the scenario.

    Raises:
        Refused: Something cannot be.
    """
    name = str(raw.get("scenario", "steady"))
    if name not in SCENARIOS:
        raise Refused(f"there is no scenario {name!r}; there are {', '.join(SCENARIOS)}")
    usual = SCENARIOS[name]
    if raw.get("run_time"):
        raise Refused("run-time is not used here: seconds count from when everybody is connected")
    processes = _whole(raw, "processes", 1, -1, 256)
    found = Arguments(
        scenario=name,
        users=_whole(raw, "users", usual.users, 1, 1_000_000),
        rate=_number(raw, "rate", usual.rate, 0.1, 10_000_000),
        seconds=_number(raw, "seconds", usual.seconds, 1, 1_000_000),
        spawn_rate=_number(raw, "spawn_rate", 0.0, 0.01, 1_000_000),
        host=_address(str(raw.get("host", "")), "host"),
        api=_address(str(raw.get("api", "")), "api"),
        api_key=str(raw.get("api_key", "")),
        compose=str(raw.get("compose", "")),
        workers=_whole(raw, "workers", 2, 1, 64),
        processes=(os.cpu_count() or 1) if processes == -1 else max(1, processes),
        redis_metrics=_address(str(raw.get("redis_metrics", "")), "redis-metrics"),
        p99_ms=_number(raw, "p99_ms", 50, 1, 60_000),
        channels=_whole(raw, "channels", usual.channels, 0, 1_000_000),
        history=_whole(
            raw, "history", HISTORY if usual.channels and not raw.get("host") else 0, 0, 100_000
        ),
        masters=_whole(raw, "masters", 0 if raw.get("host") else usual.masters, 0, 16),
        results=str(raw.get("results", "loadtest/results")),
    )
    if found.masters and (found.host or found.masters < MASTERS):
        raise Refused(
            f"masters are of a Cluster that is started: without a host, {MASTERS} or more"
        )
    if usual.masters and not found.masters:
        raise Refused(f"{name} moves slots of a Cluster that it has started itself: without a host")
    if name == "push" and found.host and not found.api_key:
        raise Refused("push needs the key of the connection API: --api-key KEY")
    if usual.channels and (found.users < FEWEST or not found.channels):
        raise Refused(f"{name} needs a channel, and {FEWEST} users: some publish, some subscribe")
    if found.users > found.rate * 60 and name != "push" and not usual.channels:
        raise Refused(
            f"{found.rate:g} messages/s of {found.users} users are less than one a minute of each: "
            f"at least {found.users / 60:.0f} messages/s, please"
        )
    return found


def _number(raw: Mapping[str, Any], name: str, usual: float, low: float, high: float) -> float:
    value = raw.get(name)
    if value in (None, ""):
        return usual
    shown = name.replace("_", "-")
    try:
        number = float(str(value))
    except ValueError:
        raise Refused(f"--{shown} {value} is not a number") from None
    if not low <= number <= high:
        raise Refused(f"--{shown} {value} is outside {low:,.10g} to {high:,.10g}")
    return number


def _whole(raw: Mapping[str, Any], name: str, usual: int, low: int, high: int) -> int:
    number = _number(raw, name, usual, low, high)
    if number != int(number):
        raise Refused(f"--{name.replace('_', '-')} {raw[name]} is not a whole number")
    return int(number)


def _address(value: str, name: str) -> str:
    if not value:
        return ""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Refused(f"--{name} {value} is not like http://gateway.example:8000")
    return value.rstrip("/")
