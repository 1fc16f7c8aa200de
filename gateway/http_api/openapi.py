"""The connection API in OpenAPI 3.1: for generators of clients, and for our tests."""

from __future__ import annotations

from typing import Final

from gateway.close_codes import DISCONNECTED, NORMAL
from gateway.http_api import openapi_batch, openapi_channels
from gateway.http_api.call import MAX_KEY_LENGTH
from gateway.http_api.openapi_parts import (
    CONNECTION,
    COUNT,
    LIMIT,
    RESPONSES,
    WORKER_ID,
    Json,
    ok,
    operation,
    parameter,
    schema,
)
from gateway.protocol.receipt import Receipt

_TIME: Final = {"type": "string", "format": "date-time"}
_IDENTITY: Final = {
    "type": "object",
    "required": ["sourceIp", "userAgent"],
    "properties": {"sourceIp": {"type": "string"}, "userAgent": {"type": "string"}},
}


def document(server: str, version: str) -> Json:
    """The document. ``server`` is where the paths begin, ``version`` that of the gateway."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Gateway connection API",
            "version": version,
            "description": "Reach any socket of the gateway, through whichever worker is asked.",
        },
        "servers": [{"url": server}],
        "security": [{"bearer": []}, {"key": []}, {"aws": []}],
        "paths": _PATHS | openapi_channels.PATHS | openapi_batch.PATHS,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "aws": {  # Signature Version 4
                    "type": "http",
                    "scheme": "AWS4-HMAC-SHA256",
                    "description": "As AWS SDKs sign, for the service execute-api.",
                },
            },
            "schemas": _SCHEMAS | openapi_channels.SCHEMAS | openapi_batch.SCHEMAS,
            "responses": RESPONSES,
        },
    }


_SCHEMAS: Final[Json] = {
    "Problem": {
        "type": "object",
        "required": ["message"],
        "properties": {
            "message": {"type": "string"},
            "receipt": {"type": "string", "enum": [r.value for r in Receipt]},
        },
    },
    "Refusal": {
        "type": "object",
        "required": ["message", "receipt"],
        "properties": {"message": {"type": "string"}, "receipt": {"const": Receipt.GONE.value}},
    },
    "Written": {
        "type": "object",
        "required": ["receipt"],
        "properties": {"receipt": {"const": Receipt.WRITTEN.value}},
    },
    "Counts": {
        "type": "object",
        "required": [receipt.value for receipt in Receipt],
        "properties": {receipt.value: COUNT for receipt in Receipt},
    },
    "Connection": {
        "type": "object",
        "required": ["connectedAt", "lastActiveAt", "identity"],
        "properties": {
            "connectedAt": _TIME,
            "lastActiveAt": _TIME,
            "unansweredPingSeconds": {"type": "number", "minimum": 0},
            "identity": _IDENTITY,
            "user": {"type": "string"},
            "channels": {"type": "array", "items": {"type": "string"}},
            "waitingBytes": COUNT,
            "received": COUNT,
            "sent": COUNT,
            "unanswered": COUNT,
            "handledBy": WORKER_ID,
        },
    },
    "Listed": {
        "type": "object",
        "required": ["id", "worker", "user", "protocol", "connectedAt", "identity"],
        "properties": {
            "id": {"type": "string"},
            "worker": WORKER_ID,
            "user": {"type": ["string", "null"]},
            "protocol": {"type": "string"},
            "connectedAt": _TIME,
            "identity": _IDENTITY,
        },
    },
    "Connections": {
        "type": "object",
        "required": ["connections"],
        "properties": {
            "connections": {"type": "array", "items": schema("Listed")},
            "cursor": {"type": "string", "description": "Where the next page begins, if any."},
        },
    },
    "Worker": {
        "type": "object",
        "required": ["id", "role", "state", "host", "pid", "leaseSeconds"],
        "properties": {
            "id": WORKER_ID,
            "role": {"enum": ["both", "edge", "handler"]},
            "state": {"enum": ["live", "leaving", "lapsed", "fenced"]},
            "host": {"type": "string"},
            "pid": {"type": "integer"},
            "leaseSeconds": {"type": "number"},
        },
    },
    "Workers": {
        "type": "object",
        "required": ["workers"],
        "properties": {"workers": {"type": "array", "items": schema("Worker")}},
    },
}
_BODY: Final = {
    "description": "UTF-8, whatever its Content-Type says. It leaves as one text frame.",
    "required": True,
    "content": {"text/plain": {"schema": {"type": "string"}}},
}
_KEY: Final = parameter(
    "header",
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH},
    "The same body with the same key is written once in a minute. Without it, "
    "amz-sdk-invocation-id counts.",
)
_USER: Final = parameter(
    "path", "user", {"type": "string", "minLength": 1}, "As on_connect has named the user."
)
_CLOSING: Final = (
    parameter(
        "query",
        "code",
        {
            "type": "integer",
            "anyOf": [{"const": NORMAL.code}, {"minimum": 3000, "maximum": 4999}],
            "default": DISCONNECTED.code,
        },
        "The close code.",
    ),
    parameter(
        "query",
        "reason",
        {"type": "string", "minLength": 1, "default": "disconnected"},
        "At most 123 bytes of UTF-8.",
    ),
)
_PATHS: Final = {
    "/@connections": {
        "get": operation(
            "listConnections",
            "List connections, a page at a time.",
            {"200": ok("A page of connections.", "Connections")},
            "Unavailable",
            parameters=[
                parameter("query", "cursor", {"type": "string"}, "Of the page before."),
                LIMIT,
                parameter("query", "worker", WORKER_ID, "Only those of this worker."),
                parameter(
                    "query", "user", {"type": "string", "minLength": 1}, "Only those of this user."
                ),
                parameter(
                    "query",
                    "address",
                    {"type": "string"},
                    "Only those of this address: a page then holds fewer, perhaps none.",
                ),
            ],
        )
    },
    "/@connections/{connection}": {
        "post": operation(
            "send",
            "Send a text to a connection.",
            {"200": ok("Its socket's buffer took the frame.", "Written")},
            "Gone",
            "TooManyOrSlow",
            "Unreachable",
            parameters=[CONNECTION, _KEY],
            requestBody=_BODY,
        ),
        "get": operation(
            "getConnection",
            "Ask the owner about a connection.",
            {"200": ok("It is open.", "Connection")},
            "Gone",
            "Unreachable",
            parameters=[CONNECTION],
        ),
        "delete": operation(
            "disconnect",
            "Close a connection.",
            {"204": {"description": "Its close frame is under way."}},
            "Gone",
            "Unreachable",
            parameters=[
                CONNECTION,
                *_CLOSING,
            ],
        ),
    },
    "/@users/{user}": {
        "post": operation(
            "sendToUser",
            "Send a text to every connection of a user.",
            {"200": ok("How many connections gave which receipt.", "Counts")},
            "Unavailable",
            parameters=[_USER, _KEY],
            requestBody=_BODY,
        ),
        "get": operation(
            "listConnectionsOfUser",
            "List every connection of a user.",
            {"200": ok("All of them.", "Connections")},
            "Unavailable",
            parameters=[_USER],
        ),
        "delete": operation(
            "disconnectUser",
            "Close every connection of a user.",
            {"200": ok("How many connections gave which receipt.", "Counts")},
            "Unavailable",
            parameters=[_USER, *_CLOSING],
        ),
    },
    "/@workers": {
        "get": operation(
            "listWorkers",
            "List the workers that live.",
            {"200": ok("All of them.", "Workers")},
            "Unavailable",
            parameters=[
                parameter(
                    "query",
                    "fenced",
                    {"type": "string", "enum": ["true", "false"], "default": "false"},
                    "true: also the dead that are not swept yet.",
                )
            ],
        )
    },
}
