"""A request as it came on the wire: what credentials are checked on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Headers = Sequence[tuple[bytes, bytes]]  # as ASGI has them


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRequest:
    """Nothing in it is decoded, joined or left out.

    Attributes:
        method: In any case.
        raw_path: Percent signs and all, without the query: ASGI's ``raw_path``.
        query: Without the question mark: ASGI's ``query_string``.
        headers: All of them, in the order in which they came.
        body: The whole of it.
    """

    method: str
    raw_path: bytes
    query: bytes
    headers: Headers
    body: bytes
