"""How a peer is subscribed to and published to, on the wire."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.fanout.stream import ReadMessage
from tests.support.pusher import API_KEY

CHANNEL: Final = "{channel}"
REFUSED: Final = "publication refused"


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class FanoutDialect:
    """What is said and heard.

    Args:
        greeting: What a subscriber of this channel says, one after the other: the first when it is
            connected, the next when what ``expects`` came back. When all came it is subscribed.
        expects: What begins, or holds, the answer to each.
        read: The publications in what a subscriber hears.
        publisher: A publisher's greeting, and what is expected.
        publish: From the channel and a text: what a publisher writes.
        refused: Whether what a publisher hears says that a publication was refused.
        publish_path: Where publishers connect, instead of where subscribers do.
        http: Publishers write HTTP requests, and not frames.
        pong: From a ping in a message: what answers it; None: it is none.
    """

    greeting: Callable[[str], list[str]]
    expects: list[bytes]
    read: ReadMessage
    publisher: tuple[list[str], list[bytes]]
    publish: Callable[[str, str], str]
    refused: Callable[[bytes], bool]
    publish_path: str = ""
    http: bool = False
    pong: Callable[[bytes], bytes | None] = lambda _message: None


def _read_plain(message: bytes) -> list[bytes] | None:
    return [message]


def _post(body: str, *headers: str) -> str:
    lines = ["POST {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", body])


_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d+)").findall  # an answer begins where a body ends


def _is_no_success(answers: bytes) -> bool:
    return any(not status.startswith(b"2") for status in _STATUS(answers))


# nchan: a location to subscribe at, one to post to.


NCHAN: Final = FanoutDialect(
    greeting=lambda _channel: [],
    expects=[],
    read=_read_plain,
    publisher=([], []),
    publish=lambda _channel, text: _post(text),
    refused=_is_no_success,
    publish_path=f"/pub/{CHANNEL}",
    http=True,
)


# Socket.IO: Engine.IO's hand-shaking, and a room that is joined with an acknowledgement.


def _read_event(message: bytes) -> list[bytes] | None:
    if not message.startswith(b"42"):
        return None
    _, text = json.loads(message[2:])
    return [text.encode()]


SOCKET_IO: Final = FanoutDialect(
    greeting=lambda channel: ["", "40", "420" + compact(["join", channel])],
    expects=[b"0{", b"40", b"430"],
    read=_read_event,
    publisher=(["", "40"], [b"0{", b"40"]),
    publish=lambda channel, text: "42" + compact(["pub", channel, text]),
    refused=lambda message: message.startswith(b"44"),
    pong=lambda message: b"3" if message == b"2" else None,
)


# The Centrifuge protocol, as JSON.


def _read_push(message: bytes) -> list[bytes] | None:
    found = []
    for line in message.split(b"\n"):
        pub = json.loads(line).get("push", {}).get("pub")
        if pub is None:
            return None
        found.append(pub["data"].encode())
    return found


def _subscribe(channel: str) -> list[str]:
    return [
        compact({"id": 1, "connect": {}}),
        compact({"id": 2, "subscribe": {"channel": channel}}),
    ]


CENTRIFUGE: Final = FanoutDialect(
    greeting=_subscribe,
    expects=[b'"connect":', b'"subscribe":'],
    read=_read_push,
    publisher=(_subscribe("")[:1], [b'"connect":']),
    publish=lambda channel, text: compact({"id": 3, "publish": {"channel": channel, "data": text}}),
    refused=lambda message: b'"error"' in message,
    publish_path="/connection/websocket",
    pong=lambda message: b"{}" if message == b"{}" else None,
)

# The same, published to by a backend.
POSTED: Final = replace(
    CENTRIFUGE,
    publisher=([], []),
    publish=lambda _channel, text: _post(compact(text), f"Authorization: Bearer {API_KEY}"),
    refused=_is_no_success,
    publish_path=f"/@channels/{CHANNEL}",
    http=True,
)

# A text socket: the application of the peer subscribes whoever says the name of a channel.
TEXT_SOCKET: Final = FanoutDialect(
    greeting=lambda channel: [channel],
    expects=[b"subscribed"],
    read=_read_plain,
    publisher=CENTRIFUGE.publisher,
    publish=CENTRIFUGE.publish,
    refused=CENTRIFUGE.refused,
    publish_path=CENTRIFUGE.publish_path,
    pong=CENTRIFUGE.pong,
)

FANOUT_DIALECTS: Final = {
    "nchan": NCHAN,
    "socketio-room": SOCKET_IO,
    "centrifuge": CENTRIFUGE,
    "centrifuge-posted": POSTED,
    "gateway-text": TEXT_SOCKET,
}


def publish_url(dialect: FanoutDialect, url: str) -> str:
    """Where publishers connect, of where subscribers do."""
    if not dialect.publish_path:
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{dialect.publish_path}"
