"""The calls that do many things at once, in OpenAPI."""

from __future__ import annotations

from typing import Final

from gateway.channels.publisher import MAX_VERSION
from gateway.close_codes import DISCONNECTED, NORMAL
from gateway.http_api.call import MAX_KEY_LENGTH
from gateway.http_api.commands import MAX_ITEMS
from gateway.http_api.openapi_parts import Json, error, ok, operation, parameter, schema

_TEXT: Final = {"type": "string"}
_NAME: Final = {"type": "string", "minLength": 1}
_KEY: Final = {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH}
_PUBLICATION: Final = {
    "data": {},
    "tags": {"type": "object", "additionalProperties": _TEXT},
    "version": {"type": "integer", "minimum": 0, "maximum": MAX_VERSION, "default": 0},
    "history": {"type": "boolean", "default": True},
    "idempotency_key": _KEY,
}
_CLOSING: Final = {
    "code": {
        "type": "integer",
        "anyOf": [{"const": NORMAL.code}, {"minimum": 3000, "maximum": 4999}],
        "default": DISCONNECTED.code,
    },
    "reason": {**_NAME, "default": DISCONNECTED.reason},
}


def _of(required: tuple[str, ...], members: Json) -> Json:
    return {
        "type": "object",
        "required": list(required),
        "properties": members,
        "additionalProperties": False,
    }


def _several(of: Json) -> Json:
    return {"type": "array", "items": of, "minItems": 1, "maxItems": MAX_ITEMS}


_OF_VERBS: Final[Json] = {
    "publish": _of(("channel", "data"), {"channel": _TEXT, **_PUBLICATION}),
    "broadcast": _of(("channels", "data"), {"channels": _several(_TEXT), **_PUBLICATION}),
    "send": _of(
        ("connection", "text"), {"connection": _TEXT, "text": _TEXT, "idempotency_key": _KEY}
    ),
    "send_to_user": _of(("user", "text"), {"user": _NAME, "text": _TEXT, "idempotency_key": _KEY}),
    "disconnect": _of(("connection",), {"connection": _TEXT, **_CLOSING}),
    "disconnect_user": _of(("user",), {"user": _NAME, **_CLOSING}),
    "subscribe": _of(("connection", "channel"), {"connection": _TEXT, "channel": _TEXT}),
    "unsubscribe": _of(("connection", "channel"), {"connection": _TEXT, "channel": _TEXT}),
}
SCHEMAS: Final[Json] = {
    "Broadcast": _OF_VERBS["broadcast"],
    "Batch": _of(("commands",), {"commands": _several(schema("Command"))}),
    "Command": {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": _OF_VERBS,
        "additionalProperties": False,
    },
    "Result": {
        "type": "object",
        "required": ["status"],
        "description": "The status of the single call, and the members of its answer.",
        "properties": {
            "status": {"type": "integer"},
            "error": {"type": "string", "description": "As in x-amzn-ErrorType."},
            "message": _TEXT,
        },
    },
    "Results": {
        "type": "object",
        "required": ["results"],
        "properties": {"results": {"type": "array", "items": schema("Result")}},
    },
}


def _body(shape: str) -> Json:
    content = {"application/json": {"schema": schema(shape)}}
    return {"description": "Whatever its Content-Type says.", "required": True, "content": content}


_ALL_FAILED: Final = error("All have failed, and with this status; their results are there too.")
PATHS: Final[Json] = {
    "/@broadcast": {
        "post": operation(
            "broadcast",
            "Publish the same to everybody in several channels.",
            {
                "200": ok("What became of it in each channel, in order.", "Results"),
                **dict.fromkeys(("404", "503"), _ALL_FAILED),
            },
            parameters=[
                parameter(
                    "header",
                    "Idempotency-Key",
                    _KEY,
                    "As idempotency_key, where the body has none. Without it, "
                    "amz-sdk-invocation-id counts.",
                )
            ],
            requestBody=_body("Broadcast"),
        )
    },
    "/@batch": {
        "post": operation(
            "batch",
            "Do several things.",
            {
                "200": ok("What became of each, in order.", "Results"),
                **dict.fromkeys(("404", "410", "503"), _ALL_FAILED),
            },
            requestBody=_body("Batch"),
        )
    },
}
