"""What commands print: tables for people, JSON for scripts, and one line for what went wrong."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any, Final, NoReturn

from gateway.protocol.receipt import Receipt

EXIT_CODES: Final = {"written": 0, "gone": 3, "slow": 4, "unreachable": 5}


def end_with(receipt: Receipt) -> NoReturn:
    """Print it, and exit with what it means."""
    print(receipt.value)
    sys.exit(EXIT_CODES[receipt.value])


def print_facts(row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(row))
        return
    width = max(len(name) for name in row)
    for name, value in row.items():
        print(f"{name:<{width}}  {shown(value)}")


def print_rows(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    if not rows:
        print("none")
        return
    names = list(rows[0])
    table = [names, *([shown(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(names))]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def shown(value: Any) -> str:
    if value is None or value == ():
        return "-"
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.0f}s"
    return str(value) or "-"


def fail(message: str, code: int) -> NoReturn:
    print(f"gateway: {message}", file=sys.stderr)
    sys.exit(code)
