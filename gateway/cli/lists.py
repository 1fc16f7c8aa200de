"""``gateway workers`` and ``gateway connections``."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from gateway.cli.options import ConfigFile, Port, RedisUrl, broker_of, registry_of
from gateway.cli.printing import end_with, fail, print_facts, print_rows


def workers(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    port: Port = None,
    redis_url: RedisUrl = None,
    config: ConfigFile = None,
) -> None:
    """List the workers that live."""
    from gateway.cli import rows  # noqa: PLC0415

    found = asyncio.run(rows.workers(*registry_of(redis_url, config, port)))
    print_rows(found, as_json=as_json)


def connections(
    connection: Annotated[
        str | None,
        typer.Argument(
            metavar="CONNECTION_ID", help="Ask its owner about this one.", show_default=False
        ),
    ] = None,
    worker: Annotated[str | None, typer.Option(help="Only those of this worker.")] = None,
    user: Annotated[str | None, typer.Option(help="Only those of this user.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    port: Port = None,
    redis_url: RedisUrl = None,
    config: ConfigFile = None,
) -> None:
    """List the connections of the registry, or say what there is to say of one."""
    from gateway.cli import rows  # noqa: PLC0415

    if connection is not None:
        if worker is not None or user is not None:
            fail("one connection needs no --worker and no --user", 2)
        broker = broker_of(redis_url, config, port)
        receipt, row = asyncio.run(rows.particulars(*broker, connection))
        if row is None:
            end_with(receipt)
        print_facts(row, as_json=as_json)
        return
    asking = rows.connections(*registry_of(redis_url, config, port), worker=worker, user=user)
    print_rows(asyncio.run(asking), as_json=as_json)
