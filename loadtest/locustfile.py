"""``locust -f loadtest/locustfile.py --scenario steady``, with locust's page or headless.

Only the users and the one shape of the chosen scenario are exposed.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from locust import events, runners
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtest import generator, scenarios  # noqa: F401
from loadtest.arguments import OPTIONS, Arguments, Refused, environment_name, parse
from loadtest.endings import Endings
from loadtest.limits import check_room, ports, raise_files
from loadtest.run import Run
from loadtest.scenarios import base
from loadtest.web import explain_forms

# Locust gives up a process that is silent for three seconds, and with the last one the test. On
# a machine that is full that is a matter of luck; that a generator came late the verdict says.
runners.HEARTBEAT_LIVENESS = 20

endings = Endings()

# Then of all the machines we know one.
_several_machines = bool({"--master", "--worker"} & set(sys.argv))


def _arguments() -> Arguments:
    try:
        found = parse(sys.argv[1:], os.environ)
        files = raise_files()
        if not _several_machines:
            check_room(found, files=files, ports_per_source=ports())
    except Refused as refused:
        _refuse(refused)
    return found


def _refuse(refused: Refused) -> None:
    print(f"loadtest: {refused}", file=sys.stderr)
    sys.exit(2)


_asked = _arguments()
_chosen = importlib.import_module(f"loadtest.scenarios.{_asked.scenario}")
globals().update({user.__name__: user for user in _chosen.USERS})
globals()[_chosen.SHAPE.__name__] = _chosen.SHAPE


@events.init_command_line_parser.add_listener
def _add_options(parser: LocustArgumentParser) -> None:
    for option in OPTIONS:
        parser.add_argument(
            f"--{option.flag}",
            type=option.kind,
            env_var=environment_name(option.flag),
            default=getattr(_asked, option.flag.replace("-", "_")),
            include_in_web_ui=option.on_page,
            help=option.help,
        )


@events.init.add_listener
def _begin(environment: Environment, **_: Any) -> None:
    environment.stop_timeout = 5.0  # users that are in the middle of sending
    environment.parsed_options.num_users = _asked.users
    generator.begin(environment)
    if isinstance(environment.runner, WorkerRunner):
        endings.know(environment, None)
        return
    # What the form begins with, and what is meant by a command line that says nothing of it.
    environment.parsed_options.spawn_rate = environment.shape_class.spawn_rate(_asked)
    try:
        run = Run(environment, _asked, several_machines=_several_machines)
    except Refused as refused:
        _refuse(refused)
    base.begin(environment, run)
    endings.know(environment, run)
    if environment.web_ui is not None:
        explain_forms(environment, run)
    # The rate of spawning is ours to choose.
    logging.getLogger("locust.runners").addFilter(lambda r: "spawn rate is very" not in r.msg)
    if environment.parsed_options.headless:
        logging.getLogger("locust.stats_logger").setLevel(logging.WARNING)

    def close(**_: Any) -> None:
        environment.runner.stop()  # while the gateway is there: locust would do it later
        run.finish()
        environment.process_exit_code = run.outcome.exit_code
        run.close()

    events.quitting.add_listener(close)
    events.quit.add_listener(lambda **_: run.outcome.tell())
