"""The OpenAPI document is one, and the API does what it says: schemathesis calls it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode

from gateway import Connection, Gateway
from gateway.settings.namespaces import ChannelOptions, Namespaces
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.support.inprocess import InProcess, in_process
from tests.support.rawclient import raw_websocket

KEY = "the-key"
EXAMPLES = 15  # of every operation, in both modes
OPERATIONS = [
    "listConnections",
    "send",
    "getConnection",
    "disconnect",
    "sendToUser",
    "listConnectionsOfUser",
    "disconnectUser",
    "listWorkers",
    "listChannels",
    "publish",
    "getHistory",
    "removeHistory",
    "getPresence",
    "getPresenceStats",
    "subscribeConnection",
    "unsubscribeConnection",
    "broadcast",
    "batch",
]
# Namespaces that are not set up, and what has no history or presence.
CHANNELS = Namespaces(
    ChannelOptions(presence=True, history_size=9, history_ttl=timedelta(minutes=5))
)


def of_ali() -> Gateway:
    app = Gateway()

    @app.on_connect
    async def welcome(connection: Connection) -> str:
        return "ali"

    return app


async def test_the_document_needs_no_key_and_is_openapi(settings: MakeSettings) -> None:
    async with in_process(settings()) as served, httpx.AsyncClient() as http:
        answer = await http.get(served.url + "/@openapi.json")

    assert answer.status_code == 200
    schema = schemathesis.openapi.from_dict(answer.json())
    schema.validate()
    paths = answer.json()["paths"].values()
    named = [operation["operationId"] for path in paths for operation in path.values()]
    assert sorted(named) == sorted(OPERATIONS)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_every_answer_is_one_that_the_document_has(
    settings: MakeSettings, operation: str, mode: GenerationMode
) -> None:
    open_to_backends = settings(api_keys=Secret(KEY), api_body_bytes=5, channel=CHANNELS)
    async with in_process(open_to_backends, of_ali()) as served, raw_websocket(served.port):
        [member] = served.worker.parts.hub
        await asyncio.to_thread(call_often, served, operation, mode, member.id)


def call_often(served: InProcess, operation: str, mode: GenerationMode, connection: str) -> None:
    """Call one operation, half of the time about what is there."""
    checks = {
        # A connection may be gone; a body, too long. Both are in the document.
        "positive_data_acceptance": {"expected-statuses": ["2xx", "404", "409", "410", "413"]},
        "negative_data_rejection": {
            "expected-statuses": ["400", "401", "404", "405", "410", "413"]
        },
    }
    schema = schemathesis.openapi.from_url(
        served.url + "/@openapi.json", config=SchemathesisConfig.from_dict({"checks": checks})
    )
    strategy = schema.find_operation_by_id(operation).as_strategy(generation_mode=mode)

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=strategy, there=hypothesis.strategies.booleans())
    def call(case: schemathesis.Case[Any], there: bool) -> None:
        if there and "connection" in case.path_parameters:
            case.path_parameters["connection"] = connection
        if there and "user" in case.path_parameters:
            case.path_parameters["user"] = "ali"
        if mode is GenerationMode.POSITIVE:
            case.query.pop("cursor", None)  # one that nobody was given is refused
            case.query.pop("tags", None)  # they are JSON, which no schema can say
            if case.query.get("version"):
                case.query.pop("history", None)  # a version needs it
            if "since_offset" not in case.query:
                case.query.pop("since_epoch", None)
        headers = {"Authorization": f"Bearer {KEY}"}
        for _ in range(3):
            answer = case.call(headers=headers)
            if answer.status_code != 503 or b"Redis does not answer" not in answer.content:
                break  # else this machine was late by all its deadline
        case.validate_response(answer, headers=headers, transport_kwargs={"headers": headers})

    call()
