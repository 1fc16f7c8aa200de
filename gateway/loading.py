"""The application that ``MODULE:ATTRIBUTE`` names."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path

from starlette.types import ASGIApp

from gateway.app import Gateway, echo_gateway
from gateway.errors import ConfigError


def load_gateway(name: str, wrap: Callable[[Gateway], ASGIApp]) -> ASGIApp:
    """The ASGI application to serve: a ``Gateway`` is wrapped, any other callable taken as is.

    The current folder is importable, as with ``python -m``.

    Raises:
        ConfigError: There is no such thing, with the reason.
    """
    if not name:
        return wrap(echo_gateway())
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise ConfigError(f"application {name!r} is not of the form MODULE:ATTRIBUTE")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        why = " ".join(str(error).split())  # in one line
        raise ConfigError(f"application {name!r}: {type(error).__name__}: {why}") from error
    found = getattr(module, attribute, None)
    if isinstance(found, Gateway):
        return wrap(found)
    if callable(found):
        if _is_no_asgi(found):
            raise ConfigError(
                f"application {name!r}: it does not take scope, receive and send, so it is no ASGI "
                "application; a handler is served by the Gateway it belongs to: name that"
            )
        app: ASGIApp = found
        return app
    what = "there is no such attribute" if found is None else "it is no Gateway and not callable"
    raise ConfigError(f"application {name!r}: {what}")


def _is_no_asgi(found: Callable[..., object]) -> bool:
    """Whether this coroutine function cannot be called as ``app(scope, receive, send)``."""
    if not inspect.iscoroutinefunction(found):
        return False
    try:
        inspect.signature(found).bind(None, None, None)
    except TypeError:
        return True
    return False
