"""Serve an ASGI application with uvicorn as it comes: arguments MODULE:NAME WS. Prints its port.

``WS`` is one of uvicorn's stock classes. Without deflate and access log; all else is default.
"""

from __future__ import annotations

import socket
import sys

import uvicorn


def main() -> None:
    application, ws = sys.argv[1:]
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    config = uvicorn.Config(
        application,
        ws=ws,
        ws_per_message_deflate=False,
        access_log=False,
        log_level="error",
    )
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
