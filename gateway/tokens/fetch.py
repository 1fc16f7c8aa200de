"""One GET of a document that is small and comes soon, or an error that says what was wrong.

Whoever answers may be anybody: the size and the time are bounded, redirects are not followed, and
nothing but a whole answer with 200 counts.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final
from urllib.parse import urlsplit

import httptools

FETCH_S: Final = 5.0
MAX_ANSWER_BYTES: Final = 262_144  # with its head
_READ_BYTES: Final = 16_384


class FetchFailed(Exception):
    """Nothing was had. Its text is ours, but for the number of a status."""


async def fetch(url: str, *, within_s: float = FETCH_S) -> bytes:
    """The body of the answer to a GET.

    Args:
        url: http or https; the certificate must be of the host, and of somebody the system trusts.
        within_s: For all of it, from the name's look-up to the last byte.

    Raises:
        FetchFailed: Anything went wrong. There is no second try.
    """
    try:
        async with asyncio.timeout(within_s):
            return await _exchange(url)
    except TimeoutError:
        raise FetchFailed(f"no answer within {within_s:g} s") from None
    except ssl.SSLError as error:
        raise FetchFailed(f"TLS: {error.reason or type(error).__name__}") from None
    except (OSError, UnicodeError) as error:
        raise FetchFailed(f"no connection: {type(error).__name__}") from None


async def _exchange(url: str) -> bytes:
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    reader, writer = await asyncio.open_connection(
        host,
        parts.port or (443 if secure else 80),
        ssl=ssl.create_default_context() if secure else None,
        limit=_READ_BYTES,
    )
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        writer.write(
            f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n"
            "User-Agent: gateway\r\nConnection: close\r\n\r\n".encode("ascii")
        )
        return await _body(reader)
    finally:
        writer.transport.abort()


async def _body(reader: asyncio.StreamReader) -> bytes:
    answer = _Answer()
    parser = httptools.HttpResponseParser(answer)
    read = 0
    try:
        while not answer.complete:
            chunk = await reader.read(_READ_BYTES)
            read += len(chunk)
            if not chunk:
                break
            if read > MAX_ANSWER_BYTES:
                raise FetchFailed(f"over {MAX_ANSWER_BYTES} bytes")
            parser.feed_data(chunk)
            if answer.headed and parser.get_status_code() != 200:
                raise FetchFailed(f"status {parser.get_status_code()}")
    except httptools.HttpParserError:
        raise FetchFailed("no HTTP") from None
    if not (answer.complete or (answer.headed and answer.until_close)):
        raise FetchFailed("half an answer")
    return bytes(answer.body)


class _Answer:
    """What the parser has found so far."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.headed = False
        self.complete = False
        self.until_close = True

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: ARG002
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self.until_close = False

    def on_headers_complete(self) -> None:
        self.headed = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True
