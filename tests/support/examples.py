"""Where the examples are, and how their tests get in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.support.serve import ROOT

EXAMPLES = ROOT / "examples"


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[ClientConnection]:
    """Connect, and come back as long as the worker that gets the handshake is not ready yet."""
    async with asyncio.timeout(10):
        while True:
            try:
                socket = await connect(url, proxy=None, **options)
            except InvalidStatus as refused:
                if refused.response.status_code != 503:
                    raise
            else:
                break
            await asyncio.sleep(0.05)
    async with socket:
        yield socket
