"""What must be right before a supervisor starts workers, or lets new ones take over."""

from __future__ import annotations

import os
import signal
from typing import Final

from gateway.app import create_app
from gateway.errors import BrokerUnavailable, ConfigError
from gateway.log import get_logger
from gateway.process.loading import load_gateway
from gateway.redis_support.check import check
from gateway.redis_support.url import parse
from gateway.settings.config import Settings

log = get_logger(__name__)

MAX_REASON: Final = 4000  # bytes: any pipe takes them at once
LOADABLE: Final = b"\0"


def check_redis(settings: Settings, *, must_answer: bool = True) -> None:
    """See that Redis answers, and is one that workers can use.

    Raises:
        ConfigError: It does not, or is not.
    """
    try:
        check(parse(settings.redis_url), settings.redis_prefix)
    except BrokerUnavailable as error:
        if must_answer:
            raise ConfigError(str(error)) from None
        log.warning("redis is not there yet", error=str(error))


def check_loadable(name: str) -> None:
    """Import the application in a child, so that this process stays free of its code.

    Raises:
        ConfigError: It cannot be imported, with the reason.
    """
    if not name:
        return
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        reason = b""
        try:
            load_gateway(name, create_app)
        except ConfigError as error:
            reason = str(error).encode(errors="replace")
        except BaseException as error:
            reason = f"application {name!r}: {type(error).__name__} at import".encode()
        os.write(writing, reason[:MAX_REASON] or LOADABLE)
        os._exit(0)
    os.close(writing)
    # Its end first: processes that an import has left behind may hold the pipe for ever.
    _, status = os.waitpid(pid, 0)
    os.set_blocking(reading, False)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        said = pipe.read(MAX_REASON)
    if said == LOADABLE:
        return
    if not said:
        code = os.waitstatus_to_exitcode(status)
        how = f"with status {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
        raise ConfigError(f"application {name!r}: its import ended the process {how}")
    raise ConfigError(said.decode(errors="replace"))
