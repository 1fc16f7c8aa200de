"""What must be right before a supervisor starts workers, or lets new ones take over."""

from __future__ import annotations

import os

from gateway.app import create_app
from gateway.errors import BrokerUnavailable, ConfigError
from gateway.log import get_logger
from gateway.process.loading import load_gateway
from gateway.redis_support.address import parse
from gateway.redis_support.check import check
from gateway.settings.config import Settings

log = get_logger(__name__)


def check_redis(settings: Settings, *, must_answer: bool = True) -> None:
    """See that Redis answers, and is one that workers can use.

    Raises:
        ConfigError: It does not, or is not.
    """
    try:
        check(parse(settings.redis_url.reveal()), settings.redis_prefix)
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
            reason = str(error).encode()
        except BaseException as error:
            reason = f"application {name!r}: {type(error).__name__} at import".encode()
        os.write(writing, reason[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        reason = pipe.read()
    os.waitpid(pid, 0)
    if reason:
        raise ConfigError(reason.decode(errors="replace"))
