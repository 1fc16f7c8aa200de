"""``python -m loadtest.report FOLDER…``: the page of runs that were kept, made again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from loadtest.arguments import Refused
from loadtest.report.writing import write_page


def main(names: Sequence[str]) -> int:
    """Make every page that is named, and say where it lies."""
    try:
        for name in names:
            print(write_page(Path(name)))
    except Refused as refused:
        print(f"report: {refused}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
