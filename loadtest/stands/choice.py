"""Which gateway is tested: the one that the arguments name."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from loadtest.arguments import SCENARIOS, Arguments, Refused
from loadtest.stands.base import Stand
from loadtest.stands.compose import ComposeStand
from loadtest.stands.local import LocalStand, listening_here
from loadtest.stands.own import OwnStand

CONNECT_S: Final = 5.0


def stand_for(arguments: Arguments, log_file: Path) -> Stand:
    """The gateway that the arguments name, good for their scenario.

    Raises:
        Refused: There is none.
    """
    found = find_stand(arguments, log_file)
    if SCENARIOS[arguments.scenario].needs_stand and not found.can_be_harmed:
        raise Refused(f"{arguments.scenario} needs a `gateway serve` of this machine, or --compose")
    return found


def find_stand(arguments: Arguments, log_file: Path) -> Stand:
    """The gateway that the arguments name, or one of our own.

    Raises:
        Refused: It cannot be, or not for this scenario.
    """
    if arguments.asks_for_own_gateway:
        return OwnStand(arguments, log_file)
    _see_that_somebody_listens(arguments.host)
    if arguments.compose:
        return ComposeStand(arguments)
    # Behind a proxy it is found by where its connection API is.
    served = listening_here(arguments.api or arguments.host)
    if served is None:
        return Stand(arguments.host, arguments.api, arguments.api_key)
    return LocalStand(arguments.host, arguments.api, arguments.api_key, served)


def _see_that_somebody_listens(host: str) -> None:
    parts = urlsplit(host)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_S).close()
    except OSError as error:
        raise Refused(f"nobody listens at {host}: {error}") from None
