"""What the operations of the OpenAPI document are made of."""

from __future__ import annotations

from typing import Any, Final

from gateway.channels.presence_questions import MAX_MEMBERS
from gateway.http_api.call import DEFAULT_PAGE, MAX_PAGE

Json = dict[str, Any]

COUNT: Final = {"type": "integer", "minimum": 0}
WORKER_ID: Final = {"type": "string", "pattern": "^[a-z0-9]{16}$"}
RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
}


def schema(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def ok(what: str, shape: str) -> Json:
    return {"description": what, "content": {"application/json": {"schema": schema(shape)}}}


def error(what: str, *, headers: Json | None = None, receipt: bool = False) -> Json:
    kind = {"description": "The name of the error for AWS SDKs.", "schema": {"type": "string"}}
    return ok(what, "Refusal" if receipt else "Problem") | {
        "headers": {"x-amzn-ErrorType": kind, **(headers or {})}
    }


def operation(name: str, summary: str, answers: Json, *errors: str, **more: Any) -> Json:
    """An operation; every one may also be refused by what stands before it."""
    refusals = ("BadRequest", "Unauthorized", "Forbidden", "TooSlow", "TooLarge", *errors)
    if not {"TooManyOrSlow", "TooMany"} & set(errors):
        refusals = (*refusals, "TooMany")
    responses = {
        STATUS[refusal]: {"$ref": f"#/components/responses/{refusal}"} for refusal in refusals
    }
    return {"operationId": name, "summary": summary, "responses": answers | responses, **more}


def parameter(where: str, name: str, shape: Json, what: str) -> Json:
    required = {"required": True} if where == "path" else {}
    return {"in": where, "name": name, "description": what, "schema": shape, **required}


STATUS: Final = {
    "BadRequest": "400",
    "Unauthorized": "401",
    "Forbidden": "403",
    "TooSlow": "408",
    "NoSuchChannel": "404",
    "OtherEpoch": "409",
    "TooManyMembers": "409",
    "Gone": "410",
    "TooLarge": "413",
    "TooMany": "429",
    "TooManyOrSlow": "429",
    "Unavailable": "503",
    "Unreachable": "503",
    "Unknown": "503",
}
RESPONSES: Final = {
    "BadRequest": error("A parameter, a header or the body is not what it must be."),
    "Unauthorized": error(
        "No key, or a wrong one.", headers={"WWW-Authenticate": {"schema": {"type": "string"}}}
    ),
    "Forbidden": error("The signature is not believed, or nobody may call this gateway."),
    "TooSlow": error("The body did not come in time."),
    "Gone": error("There is no such open connection, and never will be.", receipt=True),
    "TooLarge": error("The body is over GATEWAY_API_BODY_BYTES, or what it asks for too much."),
    "TooMany": error("Over GATEWAY_API_REQUESTS_PER_SECOND.", headers=RETRY_AFTER),
    "TooManyOrSlow": error(
        "Over GATEWAY_API_REQUESTS_PER_SECOND (with Retry-After); or too much waits for this "
        "connection, and nothing was queued (with a receipt); or it has all the channels it may.",
        headers=RETRY_AFTER,
    ),
    "Unavailable": error("Redis does not answer. Nothing was done.", headers=RETRY_AFTER),
    "NoSuchChannel": error("Its namespace is not set up, or has not what is asked for."),
    "OtherEpoch": error("The epoch is over: what came after this place is not known any more."),
    "TooManyMembers": error(
        f"More than {MAX_MEMBERS} are there, and no more are told: ask for presence_stats."
    ),
    "Unknown": error("Redis does not answer. It may have been done.", headers=RETRY_AFTER),
    "Unreachable": error("It may have been done.", headers=RETRY_AFTER),
}
LIMIT: Final = parameter(
    "query",
    "limit",
    {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE},
    "How many are wanted.",
)
CONNECTION: Final = parameter(
    "path", "connection", {"type": "string"}, "Whatever is no connection's id is gone."
)
