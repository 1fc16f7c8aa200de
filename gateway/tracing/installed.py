"""Whether there is anything to trace with."""

from __future__ import annotations

from importlib.util import find_spec

from gateway.errors import ConfigError


def check_installed() -> None:
    """Refuse to trace where nothing is there to do it with.

    Raises:
        ConfigError: How to install it.
    """
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise ConfigError(
            "GATEWAY_OPENTELEMETRY=on needs more than is installed: "
            "pip install 'starlette-gateway[opentelemetry]'"
        )
