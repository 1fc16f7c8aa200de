"""Options that several commands have, and which gateway they name."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.printing import fail
from gateway.settings.config import Settings, variable
from gateway.settings.sources import Loaded, load
from gateway.settings.values import Secret

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="A TOML file of settings. [env: GATEWAY_CONFIG]")
]

Port = Annotated[
    int | None,
    typer.Option(
        "--port", metavar="N", help="The gateway of this user that listens there.", min=1, max=65535
    ),
]


def setting(name: str, metavar: str | None = None) -> Any:
    """An option for a setting: its help is the setting's, and parsing is left to ``config``."""
    spec = next(spec for spec in fields(Settings) if spec.name == name)
    meaning, allowed = spec.metadata["meaning"], spec.metadata["allowed"]
    flag = "--" + name.replace("_", "-")
    return typer.Option(
        flag,
        metavar=metavar,
        help=f"{meaning} [{allowed}; env: {variable(name)}]",
        show_default=False,
    )


RedisUrl = Annotated[str | None, setting("redis_url")]


def load_settings(flags: dict[str, Any], file: Path | None) -> Loaded:
    return load(os.environ, flags=flags, file=file)


def registry_of(redis_url: str | None, file: Path | None, port: int | None) -> tuple[Secret, str]:
    """Address and prefix of the registry."""
    url, prefix, _ = broker_of(redis_url, file, port)
    return url, prefix


def broker_of(
    redis_url: str | None, file: Path | None, port: int | None
) -> tuple[Secret, str, float]:
    """Address, prefix and lease.

    Those of the gateway on this port; else of the settings' Redis, else of the one that runs,
    of several the one that was started in the current folder.
    """
    from gateway.process.run_file import the_running_gateway  # noqa: PLC0415

    if port is None:
        settings = load_settings({"redis_url": redis_url}, file).settings
        if settings.redis_url:
            return settings.redis_url, settings.redis_prefix, settings.lease_seconds
    elif redis_url is not None:
        fail("--port and --redis-url name two gateways: give one", 2)
    run = the_running_gateway(
        port=port, rather_in=Path.cwd(), otherwise="set GATEWAY_REDIS_URL, or give --port"
    )
    return Secret(run.redis_url), run.redis_prefix, run.lease_seconds
