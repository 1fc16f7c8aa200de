"""An echo that is broken on purpose: ``python -m tests.support.broken_echo KIND``. Prints its port.

Kinds: ``drops``, ``doubles``, ``alters`` every hundredth text; ``misroutes`` it to the client that
came last; ``hangs-up`` on it; ``works``.
"""

from __future__ import annotations

import asyncio
import sys
from typing import ClassVar

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

BROKEN_EVERY = 100


class Echo(WSListener):
    came: ClassVar[list[WSTransport]] = []
    heard = 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        Echo.came.append(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is not WSMsgType.TEXT:
            transport.disconnect()
            return
        text = frame.get_payload_as_bytes()
        Echo.heard += 1
        if Echo.heard % BROKEN_EVERY:
            transport.send(WSMsgType.TEXT, text)
        else:
            broken(sys.argv[1], transport, text)


def broken(kind: str, transport: WSTransport, text: bytes) -> None:
    if kind == "hangs-up":
        transport.disconnect()
    elif kind == "misroutes":
        other = next(one for one in reversed(Echo.came) if one is not transport)
        other.send(WSMsgType.TEXT, text)
    elif kind == "alters":
        transport.send(WSMsgType.TEXT, text[:-1] + b"y")
    elif kind != "drops":
        for _ in range(2 if kind == "doubles" else 1):
            transport.send(WSMsgType.TEXT, text)


async def main() -> None:
    server = await ws_create_server(lambda _request: Echo(), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
