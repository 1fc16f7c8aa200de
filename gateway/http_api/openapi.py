"""The connection API in OpenAPI 3.1: for generators of clients, and for our tests."""

from __future__ import annotations

from typing import Any, Final

from gateway.close_codes import DISCONNECTED, NORMAL
from gateway.http_api.calls import DEFAULT_PAGE, MAX_KEY_LENGTH, MAX_PAGE
from gateway.protocol.receipt import Receipt

_Json = dict[str, Any]

_TIME: Final = {"type": "string", "format": "date-time"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_WORKER_ID: Final = {"type": "string", "pattern": "^[a-z0-9]{16}$"}
_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
}
_IDENTITY: Final = {
    "type": "object",
    "required": ["sourceIp", "userAgent"],
    "properties": {"sourceIp": {"type": "string"}, "userAgent": {"type": "string"}},
}


def document(server: str, version: str) -> _Json:
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
        "paths": _PATHS,
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
            "schemas": _SCHEMAS,
            "responses": _RESPONSES,
        },
    }


def _schema(name: str) -> _Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _ok(what: str, schema: str) -> _Json:
    return {"description": what, "content": {"application/json": {"schema": _schema(schema)}}}


def _error(what: str, *, headers: _Json | None = None, receipt: bool = False) -> _Json:
    kind = {"description": "The name of the error for AWS SDKs.", "schema": {"type": "string"}}
    return _ok(what, "Refusal" if receipt else "Problem") | {
        "headers": {"x-amzn-ErrorType": kind, **(headers or {})}
    }


def _operation(name: str, summary: str, answers: _Json, *errors: str, **more: Any) -> _Json:
    """An operation; every one may also be refused by what stands before it."""
    refusals = ("BadRequest", "Unauthorized", "Forbidden", "TooSlow", "TooLarge", *errors)
    if not {"TooManyOrSlow", "TooMany"} & set(errors):
        refusals = (*refusals, "TooMany")
    responses = {
        _STATUS[refusal]: {"$ref": f"#/components/responses/{refusal}"} for refusal in refusals
    }
    return {"operationId": name, "summary": summary, "responses": answers | responses, **more}


def _parameter(where: str, name: str, schema: _Json, what: str) -> _Json:
    required = {"required": True} if where == "path" else {}
    return {"in": where, "name": name, "description": what, "schema": schema, **required}


_STATUS: Final = {
    "BadRequest": "400",
    "Unauthorized": "401",
    "Forbidden": "403",
    "TooSlow": "408",
    "Gone": "410",
    "TooLarge": "413",
    "TooMany": "429",
    "TooManyOrSlow": "429",
    "Unavailable": "503",
    "Unreachable": "503",
}
_RESPONSES: Final = {
    "BadRequest": _error("A parameter, a header or the body is not what it must be."),
    "Unauthorized": _error(
        "No key, or a wrong one.", headers={"WWW-Authenticate": {"schema": {"type": "string"}}}
    ),
    "Forbidden": _error("The signature is not believed, or nobody may call this gateway."),
    "TooSlow": _error("The body did not come in time."),
    "Gone": _error("There is no such open connection, and never will be.", receipt=True),
    "TooLarge": _error("The body is over GATEWAY_API_BODY_BYTES."),
    "TooMany": _error("Over GATEWAY_API_REQUESTS_PER_SECOND.", headers=_RETRY_AFTER),
    "TooManyOrSlow": _error(
        "Over GATEWAY_API_REQUESTS_PER_SECOND (with Retry-After); or too much waits for this "
        "connection, and nothing was queued (with a receipt).",
        headers=_RETRY_AFTER,
    ),
    "Unavailable": _error("Redis does not answer. Nothing was done.", headers=_RETRY_AFTER),
    "Unreachable": _error("It may have been done.", headers=_RETRY_AFTER),
}
_SCHEMAS: Final[_Json] = {
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
        "properties": {receipt.value: _COUNT for receipt in Receipt},
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
        },
    },
    "Listed": {
        "type": "object",
        "required": ["id", "worker", "user", "protocol", "connectedAt", "identity"],
        "properties": {
            "id": {"type": "string"},
            "worker": _WORKER_ID,
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
            "connections": {"type": "array", "items": _schema("Listed")},
            "cursor": {"type": "string", "description": "Where the next page begins, if any."},
        },
    },
    "Worker": {
        "type": "object",
        "required": ["id", "role", "state", "host", "pid", "leaseSeconds"],
        "properties": {
            "id": _WORKER_ID,
            "role": {"enum": ["both", "edge", "handler"]},
            "state": {"enum": ["live", "leaving", "lapsed"]},
            "host": {"type": "string"},
            "pid": {"type": "integer"},
            "leaseSeconds": {"type": "number"},
        },
    },
    "Workers": {
        "type": "object",
        "required": ["workers"],
        "properties": {"workers": {"type": "array", "items": _schema("Worker")}},
    },
}
_BODY: Final = {
    "description": "UTF-8, whatever its Content-Type says. It leaves as one text frame.",
    "required": True,
    "content": {"text/plain": {"schema": {"type": "string"}}},
}
_KEY: Final = _parameter(
    "header",
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH},
    "The same body with the same key is written once in a minute. Without it, "
    "amz-sdk-invocation-id counts.",
)
_CONNECTION: Final = _parameter(
    "path", "connection", {"type": "string"}, "Whatever is no connection's id is gone."
)
_USER: Final = _parameter(
    "path", "user", {"type": "string", "minLength": 1}, "As on_connect has named the user."
)
_CLOSING: Final = (
    _parameter(
        "query",
        "code",
        {
            "type": "integer",
            "anyOf": [{"const": NORMAL.code}, {"minimum": 3000, "maximum": 4999}],
            "default": DISCONNECTED.code,
        },
        "The close code.",
    ),
    _parameter(
        "query",
        "reason",
        {"type": "string", "minLength": 1, "default": "disconnected"},
        "At most 123 bytes of UTF-8.",
    ),
)
_PATHS: Final = {
    "/@connections": {
        "get": _operation(
            "listConnections",
            "List connections, a page at a time.",
            {"200": _ok("A page of connections.", "Connections")},
            "Unavailable",
            parameters=[
                _parameter("query", "cursor", {"type": "string"}, "Of the page before."),
                _parameter(
                    "query",
                    "limit",
                    {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": MAX_PAGE,
                        "default": DEFAULT_PAGE,
                    },
                    "How many are wanted; there may be a few more.",
                ),
                _parameter("query", "worker", _WORKER_ID, "Only those of this worker."),
                _parameter(
                    "query", "user", {"type": "string", "minLength": 1}, "Only those of this user."
                ),
            ],
        )
    },
    "/@connections/{connection}": {
        "post": _operation(
            "send",
            "Send a text to a connection.",
            {"200": _ok("Its socket's buffer took the frame.", "Written")},
            "Gone",
            "TooManyOrSlow",
            "Unreachable",
            parameters=[_CONNECTION, _KEY],
            requestBody=_BODY,
        ),
        "get": _operation(
            "getConnection",
            "Ask the owner about a connection.",
            {"200": _ok("It is open.", "Connection")},
            "Gone",
            "Unreachable",
            parameters=[_CONNECTION],
        ),
        "delete": _operation(
            "disconnect",
            "Close a connection.",
            {"204": {"description": "Its close frame is under way."}},
            "Gone",
            "Unreachable",
            parameters=[
                _CONNECTION,
                *_CLOSING,
            ],
        ),
    },
    "/@users/{user}": {
        "post": _operation(
            "sendToUser",
            "Send a text to every connection of a user.",
            {"200": _ok("How many connections gave which receipt.", "Counts")},
            "Unavailable",
            parameters=[_USER, _KEY],
            requestBody=_BODY,
        ),
        "get": _operation(
            "listConnectionsOfUser",
            "List every connection of a user.",
            {"200": _ok("All of them.", "Connections")},
            "Unavailable",
            parameters=[_USER],
        ),
        "delete": _operation(
            "disconnectUser",
            "Close every connection of a user.",
            {"200": _ok("How many connections gave which receipt.", "Counts")},
            "Unavailable",
            parameters=[_USER, *_CLOSING],
        ),
    },
    "/@workers": {
        "get": _operation(
            "listWorkers",
            "List the workers that live.",
            {"200": _ok("All of them.", "Workers")},
            "Unavailable",
        )
    },
}
