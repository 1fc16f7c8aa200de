"""The application that ``MODULE:ATTRIBUTE`` names."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import site
import sys
import sysconfig
import traceback
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
        told = f"{type(error).__name__}: {why}{_nearest(error)}"
        message = f"application {name!r}: {told}{_place(error)}"
        raise ConfigError(message) from error
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


def _nearest(error: BaseException) -> str:
    """The verb or hook of a ``Gateway`` that was meant, if what was asked for is nearly one."""
    if not isinstance(error, AttributeError) or not isinstance(error.obj, Gateway):
        return ""
    public = [name for name in dir(error.obj) if not name.startswith("_")]
    close = difflib.get_close_matches(error.name or "", public, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _place(error: BaseException) -> str:
    """Where in the application's code it happened, if it got that far."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}:{error.lineno})"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_theirs(f.filename)]
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f" ({place})" if place and place not in str(error) else ""


def _is_theirs(file: str) -> bool:
    """Whether it is neither ours, nor Python's, nor a library's."""
    libraries = (
        sysconfig.get_path("stdlib"),
        *site.getsitepackages(),
        str(Path(__file__).parents[1]),
    )
    return not file.startswith(("<", *(library + os.sep for library in libraries)))


def _is_no_asgi(found: Callable[..., object]) -> bool:
    """Whether this coroutine function cannot be called as ``app(scope, receive, send)``."""
    if not inspect.iscoroutinefunction(found):
        return False
    try:
        inspect.signature(found).bind(None, None, None)
    except TypeError:
        return True
    return False
