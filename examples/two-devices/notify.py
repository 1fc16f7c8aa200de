"""Tell a user something, on every device: notify.py USER TEXT. Needs nothing but Python."""

from __future__ import annotations

import json
import os
import sys
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

GATEWAY = os.environ.get("API_URL", "http://localhost:8000")
KEY = os.environ["API_KEY"]


def notify(user: str, text: str) -> dict[str, int]:
    """How many of the user's connections got it (``written``), and how many did not, and why."""
    request = Request(
        f"{GATEWAY}/@users/{quote(user, safe='')}",
        data=text.encode(),
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": "text/plain; charset=utf-8"},
    )
    with urlopen(request, timeout=10) as answer:
        counts: dict[str, int] = json.load(answer)
    return counts


if __name__ == "__main__":
    try:
        receipts = notify(sys.argv[1], sys.argv[2])
    except HTTPError as error:
        sys.exit(f"{error.code}: {error.read().decode()}")
    print(", ".join(f"{receipt} {count}" for receipt, count in receipts.items()))
    sys.exit(0 if receipts["written"] else 1)
