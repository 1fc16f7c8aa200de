"""``gateway serve``."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.options import ConfigFile, RedisUrl, load_settings, setting


def serve(
    application: Annotated[
        str | None,
        typer.Argument(
            metavar="MODULE:ATTRIBUTE",
            help="The application; without it, every line comes back. [env: GATEWAY_APP]",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str | None, setting("host")] = None,
    port: Annotated[str | None, setting("port", "N")] = None,
    workers: Annotated[str | None, setting("workers", "N")] = None,
    role: Annotated[str | None, setting("role")] = None,
    redis_url: RedisUrl = None,
    drain_seconds: Annotated[str | None, setting("drain_seconds", "S")] = None,
    log_level: Annotated[str | None, setting("log_level")] = None,
    reload: Annotated[
        bool | None, typer.Option("--reload", help="Start workers anew when code changes.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Run workers on one port, under a supervisor, with a broker of their own if need be."""
    from gateway.process.serve import serve as serve_settings  # noqa: PLC0415 (keeps the others quick)

    flags = {
        "app": application,
        "host": host,
        "port": port,
        "workers": workers,
        "role": role,
        "redis_url": redis_url,
        "drain_seconds": drain_seconds,
        "log_level": log_level,
        "reload": reload,
    }
    serve_settings(load_settings(flags, config).settings)
