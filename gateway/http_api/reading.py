"""What is read of a request of the connection API, as it came and within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request

from gateway.http_api.answers import Problem
from gateway.http_api.call import KEY_HEADERS
from gateway.http_api.raw import RawRequest

BODY_S: Final = 10.0


def raw_of(request: Request) -> RawRequest:
    """As it came, but for its body."""
    scope = request.scope
    return RawRequest(
        method=request.method,
        # A server may leave it out; what was signed can only be guessed then.
        raw_path=scope.get("raw_path") or quote(scope["path"]).encode(),
        query=scope["query_string"],
        headers=scope["headers"],
        body=b"",
    )


def _too_large(limit_bytes: int) -> Problem:
    return Problem(413, f"the body is over {limit_bytes} bytes (GATEWAY_API_BODY_BYTES)")


async def body_of(request: Request, limit_bytes: int) -> bytes:
    """The whole body: never more than the limit, and not for ever.

    Raises:
        Problem: It is longer, or too slow.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > limit_bytes:
        raise _too_large(limit_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                if len(body) + len(chunk) > limit_bytes:
                    raise _too_large(limit_bytes)
                body += chunk
    except TimeoutError:
        message = f"the body did not come within {BODY_S:g} s"
        raise Problem(408, message, headers={"connection": "close"}) from None
    except ClientDisconnect:
        raise Problem(400, "the body ended early") from None
    return bytes(body)


def headers_of(request: Request) -> Mapping[str, str]:
    """The headers, by their names in lower case.

    Raises:
        Problem: There are two keys of idempotency, and nobody can know which is meant.
    """
    headers = request.headers
    for name in KEY_HEADERS:
        if len(set(headers.getlist(name))) > 1:
            raise Problem(400, f"the header {name} is given twice, with two keys: give one")
    return headers


def query_of(request: Request, parameters: Sequence[str]) -> dict[str, str]:
    """The parameters. A misspelt one would be a filter that is not applied.

    Raises:
        Problem: There is one that this call does not have, or one twice.
    """
    given = request.query_params.multi_items()
    query = dict(given)
    for name in query:
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise Problem(400, f"there is no parameter {name} here (there are: {known})")
    if len(query) < len(given):
        raise Problem(400, "a parameter is given twice")
    return query
