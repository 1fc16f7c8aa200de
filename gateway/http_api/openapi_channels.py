"""The calls about channels in OpenAPI."""

from __future__ import annotations

from typing import Final

from gateway.channels.publisher import MAX_PAGE, MAX_VERSION
from gateway.http_api.call import MAX_KEY_LENGTH
from gateway.http_api.channel_calls import DEFAULT_HISTORY
from gateway.http_api.openapi_parts import (
    CONNECTION,
    COUNT,
    LIMIT,
    WORKER_ID,
    Json,
    ok,
    operation,
    parameter,
    schema,
)
from gateway.messaging.channel_survey import MAX_PATTERN
from gateway.protocol.channel_names import MAX_CHANNEL_BYTES

_NAME: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_CHANNEL_BYTES,
    "pattern": "^[ -~]+$",
}
_CHANNEL: Final = parameter("path", "channel", _NAME, "Percent-encoded, its slashes too.")
_SWITCH: Final = {"type": "string", "enum": ["true", "false"]}
_PLACE: Final = {"offset": COUNT, "epoch": {"type": "string"}}

SCHEMAS: Final[Json] = {
    "Published": {
        "type": "object",
        "required": ["offset", "epoch", "suppressed"],
        "properties": {**_PLACE, "suppressed": {"type": "boolean"}},
    },
    "Publication": {
        "type": "object",
        "required": ["offset", "data", "tags"],
        "properties": {
            "offset": COUNT,
            "data": {},
            "tags": {"type": "object", "additionalProperties": {"type": "string"}},
            "client": {"type": "string"},
            "user": {"type": "string"},
        },
    },
    "History": {
        "type": "object",
        "required": ["publications", "offset", "epoch"],
        "properties": {
            "publications": {"type": "array", "items": schema("Publication")},
            **_PLACE,
        },
    },
    "Member": {
        "type": "object",
        "required": ["client"],
        "properties": {
            "client": {"type": "string"},
            "user": {"type": "string"},
            "connectionInfo": {},
            "channelInfo": {},
        },
    },
    "Presence": {
        "type": "object",
        "required": ["members"],
        "properties": {"members": {"type": "array", "items": schema("Member")}},
    },
    "PresenceStats": {
        "type": "object",
        "required": ["clients", "users"],
        "properties": {"clients": COUNT, "users": COUNT},
    },
    "Channels": {
        "type": "object",
        "required": ["channels", "unanswered"],
        "properties": {
            "channels": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["channel", "subscribers"],
                    "properties": {"channel": {"type": "string"}, "subscribers": COUNT},
                },
            },
            "unanswered": {"type": "array", "items": WORKER_ID},
            "cursor": {"type": "string", "description": "Where the next page begins, if any."},
        },
    },
}
PATHS: Final = {
    "/@connections/{connection}/channels/{channel}": {
        "put": operation(
            "subscribeConnection",
            "Subscribe a connection to a channel.",
            {"200": ok("It is subscribed.", "Written")},
            "NoSuchChannel",
            "Gone",
            "TooManyOrSlow",
            "Unreachable",
            parameters=[CONNECTION, _CHANNEL],
        ),
        "delete": operation(
            "unsubscribeConnection",
            "Unsubscribe a connection from a channel.",
            {"204": {"description": "It is not subscribed."}},
            "NoSuchChannel",
            "Gone",
            "TooManyOrSlow",
            "Unreachable",
            parameters=[CONNECTION, _CHANNEL],
        ),
    },
    "/@channels": {
        "get": operation(
            "listChannels",
            "List channels that have subscribers, a page at a time, by name.",
            {"200": ok("A page of channels.", "Channels")},
            "Unavailable",
            parameters=[
                parameter("query", "cursor", {"type": "string"}, "Of the page before."),
                LIMIT,
                parameter(
                    "query",
                    "pattern",
                    {"type": "string", "maxLength": MAX_PATTERN, "default": "*"},
                    "As of a shell: only channels with such names.",
                ),
            ],
        )
    },
    "/@channels/{channel}": {
        "post": operation(
            "publish",
            "Publish to everybody in a channel.",
            {"200": ok("It is published, or its key or version had come before.", "Published")},
            "NoSuchChannel",
            "Unknown",
            parameters=[
                _CHANNEL,
                parameter(
                    "header",
                    "Idempotency-Key",
                    {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH},
                    "With the same key nothing is published again for 300 s. Without it, "
                    "amz-sdk-invocation-id counts.",
                ),
                parameter(
                    "query",
                    "tags",
                    {"type": "string", "contentMediaType": "application/json", "default": "{}"},
                    "A JSON object of strings.",
                ),
                parameter(
                    "query",
                    "version",
                    {"type": "integer", "minimum": 0, "maximum": MAX_VERSION, "default": 0},
                    "Above 0: nothing is published unless it is over the last one. Needs history.",
                ),
                parameter(
                    "query",
                    "history",
                    {**_SWITCH, "default": "true"},
                    "false: it is not kept, also where others are.",
                ),
            ],
            requestBody={
                "description": "One JSON value, whatever its Content-Type says.",
                "required": True,
                "content": {"application/json": {"schema": {}}},
            },
        )
    },
    "/@channels/{channel}/history": {
        "get": operation(
            "getHistory",
            "Read what is kept of a channel.",
            {"200": ok("A part of it, and the newest place.", "History")},
            "NoSuchChannel",
            "OtherEpoch",
            "Unavailable",
            parameters=[
                _CHANNEL,
                parameter(
                    "query",
                    "limit",
                    {
                        "type": "integer",
                        "minimum": 0,
                        "maximum": MAX_PAGE,
                        "default": DEFAULT_HISTORY,
                    },
                    "0: only the newest place.",
                ),
                parameter(
                    "query",
                    "since_offset",
                    {"type": "integer", "minimum": 0, "maximum": MAX_VERSION},
                    "Only what comes after this place, or in reverse before it.",
                ),
                parameter(
                    "query",
                    "since_epoch",
                    {"type": "string"},
                    "Of since_offset. Without it, or empty: any.",
                ),
                parameter("query", "reverse", {**_SWITCH, "default": "false"}, "The newest first."),
            ],
        ),
        "delete": operation(
            "removeHistory",
            "Forget what is kept of a channel.",
            {"204": {"description": "Offsets go on in the same epoch."}},
            "NoSuchChannel",
            "Unavailable",
            parameters=[_CHANNEL],
        ),
    },
    "/@channels/{channel}/presence": {
        "get": operation(
            "getPresence",
            "List who is in a channel.",
            {"200": ok("Everybody.", "Presence")},
            "NoSuchChannel",
            "TooManyMembers",
            "Unavailable",
            parameters=[_CHANNEL],
        )
    },
    "/@channels/{channel}/presence_stats": {
        "get": operation(
            "getPresenceStats",
            "Count who is in a channel.",
            {"200": ok("How many.", "PresenceStats")},
            "NoSuchChannel",
            "Unavailable",
            parameters=[_CHANNEL],
        )
    },
}
