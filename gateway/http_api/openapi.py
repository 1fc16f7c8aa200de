"""The connection API in OpenAPI 3.1, for people's generators and for our tests."""

from __future__ import annotations

from typing import Any


def document(server: str) -> dict[str, Any]:
    return {"openapi": "3.1.0", "servers": [{"url": server}]}
