"""One trace of a message over all workers, as OpenTelemetry's own exporter gets it."""

from __future__ import annotations

from typing import Final

import httpx
import pytest
import redis.asyncio
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from gateway.protocol.envelopes.dispatching import Dispatch, DispatchConnect, Reply
from gateway.protocol.envelopes.requests_to_owners import Send
from gateway.protocol.envelopes.wire import read
from gateway.redis_support import keys
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.integration.traced_workers import KEY, SECRET, at, edge_and_handler, said
from tests.support.centrifuge_client import centrifuge_socket
from tests.support.inprocess import in_process
from tests.support.rawclient import handshake, raw_websocket
from tests.support.redis_server import RedisServer
from tests.support.traces import Traces, context_of, paths
from tests.unit.http_api import signing

TRACE_ID: Final = "0af7651916cd43dd8448eb211c80319c"
PARENT: Final = f"00-{TRACE_ID}-b7ad6b7169203331-01"
NOT_SAMPLED: Final = f"00-{TRACE_ID}-b7ad6b7169203331-00"


async def test_a_message_is_one_trace_over_both_workers(
    settings: MakeSettings, traces: Traces
) -> None:
    believing = edge_and_handler(settings, opentelemetry_traceparent="parent")
    async with believing as (served, other):
        places = at(served, other)
        async with raw_websocket(served.port, traceparent=PARENT, tracestate="a=1") as client:
            client.say("hello")
            assert sorted(await client.texts(3)) == sorted(["pushed", SECRET, "done"])
            message = await traces.ended("message")
            await traces.ended("deliver publication")
    handshake = traces.named("GET /communicate")[0]

    begun = "GET /communicate @edge > dispatch connect @edge > handle connect @handler"
    assert begun in paths(traces.trace_of(handshake), lambda span: said(span, places))
    assert f"{context_of(handshake).trace_id:032x}" == TRACE_ID
    assert context_of(handshake).trace_state.to_header() == "a=1"
    handled = "message @edge > dispatch message @edge > handle message @handler"
    assert paths(traces.trace_of(message), lambda span: said(span, places)) == {
        "message @edge",
        "message @edge > dispatch message @edge",
        handled,
        f"{handled} > own",
        f"{handled} > own > send @handler",
        f"{handled} > own > send @handler > deliver send @edge",
        f"{handled} > own > publish @handler",
        f"{handled} > own > publish @handler > deliver publication @edge",
    }
    assert [link.context for link in message.links] == [context_of(handshake)]
    assert {span.name: span.kind for span in traces.trace_of(message)} == {
        "message": SpanKind.SERVER,
        "dispatch message": SpanKind.PRODUCER,
        "handle message": SpanKind.CONSUMER,
        "own": SpanKind.INTERNAL,
        "send": SpanKind.PRODUCER,
        "deliver send": SpanKind.CONSUMER,
        "publish": SpanKind.PRODUCER,
        "deliver publication": SpanKind.CONSUMER,
    }
    assert SECRET not in "".join(span.to_json() for span in traces.spans)


async def test_a_publication_is_one_span_a_worker_however_many_it_is_for(
    settings: MakeSettings, traces: Traces
) -> None:
    async with edge_and_handler(settings) as (served, other):
        async with (
            raw_websocket(served.port) as one,
            raw_websocket(served.port) as two,
        ):
            traces.clear()
            await other.gateway.publish("news", 1)
            assert [await one.texts(1), await two.texts(1)] == [["1"], ["1"]]
            delivered = await traces.ended("deliver publication")

        assert (delivered.attributes or {})["gateway.recipients"] == 2
        assert (delivered.attributes or {})["messaging.destination.name"] == "news"
        assert len(traces.named("deliver publication")) == 1


async def test_a_handler_that_fails_says_with_which_error_and_not_its_text(
    settings: MakeSettings, traces: Traces
) -> None:
    async with edge_and_handler(settings) as (served, _), raw_websocket(served.port) as client:
        client.say("fail")
        handled = await traces.ended("handle message")
        message = await traces.ended("message")

    assert (handled.attributes or {})["error.type"] == "ValueError"
    assert (message.attributes or {})["error.type"] == "handler_failed"
    assert handled.status.status_code is message.status.status_code is StatusCode.ERROR
    assert SECRET not in handled.to_json()


async def test_commands_of_centrifuge_clients_are_traces(
    settings: MakeSettings, traces: Traces
) -> None:
    async with edge_and_handler(settings) as (served, other):
        places = at(served, other)
        async with centrifuge_socket(served.port) as client:
            await client.connect()
            await client.subscribe("room")
            await client.ask(publish={"channel": "room", "data": SECRET})
            await client.publication()
            await client.ask(rpc={"method": "greet", "data": SECRET})
            client.say({"send": {"data": "hello"}})
            await client.push("message")
            rpc = await traces.ended("rpc")
            published = await traces.ended("publish")
            sent = await traces.ended("send")
            await traces.ended("deliver publication")
            handshake = await traces.ended("GET /connection/websocket")

    assert [link.context for link in rpc.links] == [context_of(handshake)]
    assert (rpc.attributes or {})["rpc.method"] == "greet"

    def of(span: ReadableSpan) -> set[str]:
        return paths(traces.trace_of(span), lambda each: said(each, places))

    assert of(rpc) >= {"rpc @edge > dispatch rpc @edge > handle rpc @handler"}
    assert of(published) >= {
        "publish @edge > dispatch publish @edge > handle publish @handler > checked",
        "publish @edge > publish @edge > deliver publication @edge",
    }
    assert "subscribe" in {span.name for span in traces.spans}
    assert sent.name == "send"
    assert SECRET not in "".join(span.to_json() for span in traces.spans)


async def test_an_api_call_goes_on_with_the_trace_of_its_caller(
    settings: MakeSettings, traces: Traces
) -> None:
    async with edge_and_handler(settings) as (served, other):
        places = at(served, other)
        async with raw_websocket(served.port) as client, httpx.AsyncClient() as http:
            [member] = served.worker.parts.hub
            shown = {"authorization": f"Bearer {KEY}", "traceparent": PARENT}
            url = f"{other.url}/@connections/{member.id}"
            assert (await http.post(url, content="hi", headers=shown)).status_code == 200
            assert await client.texts(1) == ["hi"]
            refused = await http.post(url, headers={"traceparent": PARENT})
            called = await traces.ended("POST /@connections/{target}")

    assert f"{context_of(called).trace_id:032x}" == TRACE_ID
    assert (called.attributes or {})["http.response.status_code"] == 200
    way = "POST /@connections/{target} @handler > send @handler > deliver send @edge"
    assert way in paths(traces.trace_of(called), lambda span: said(span, places))
    statuses = [
        (span.attributes or {})["http.response.status_code"] for span in traces.named(called.name)
    ]
    assert statuses == [200, refused.status_code]
    refused_span = traces.named(called.name)[1]
    assert refused_span.parent is None
    assert [f"{link.context.trace_id:032x}" for link in refused_span.links] == [TRACE_ID]


async def test_who_has_signed_a_call_is_no_stranger(settings: MakeSettings, traces: Traces) -> None:
    """Whether it has, only the body tells; a wrong secret vouches for nothing."""
    keys = Secret(f"{signing.KEY_ID}:{signing.SECRET}")
    async with edge_and_handler(settings, aws_access_keys=keys) as (served, _):
        async with raw_websocket(served.port) as client, httpx.AsyncClient() as http:
            [member] = served.worker.parts.hub
            url = f"{served.url}/@connections/{member.id}"
            statuses = []
            right, told = signing.SECRET, [("traceparent", PARENT)]
            for secret, body in ((right, b"hi"), ("wrong", b"hi"), (right, b"no")):
                asked = signing.signed("POST", url, headers=told, body=b"hi", secret=secret)
                answer = await http.post(url, content=body, headers=asked.headers)
                statuses.append(answer.status_code)
            assert await client.texts(1) == ["hi"]
        await traces.ended("deliver send")

    spans = traces.named("POST /@connections/{target}")
    assert statuses == [(span.attributes or {})["http.response.status_code"] for span in spans]
    assert statuses == [200, 403, 403]
    assert [span.parent is not None for span in spans] == [True, False, False]
    assert f"{context_of(spans[0]).trace_id:032x}" == TRACE_ID
    assert [len(span.links) for span in spans] == [0, 1, 1]


async def test_the_span_that_a_stranger_names_is_linked_and_decides_nothing(
    settings: MakeSettings, traces: Traces
) -> None:
    async with in_process(settings(opentelemetry=True)) as served:
        async with raw_websocket(served.port, traceparent=PARENT, tracestate="a=1") as client:
            client.say("hello")
            await client.texts(1)
            handshake = await traces.ended("GET /communicate")
        traces.clear()
        traces.sampler.root = ALWAYS_OFF
        async with raw_websocket(served.port, traceparent=PARENT) as client:
            client.say("hello")
            await client.texts(1)

    assert handshake.parent is None
    assert [f"{link.context.trace_id:032x}" for link in handshake.links] == [TRACE_ID]
    assert not traces.spans


async def test_a_hostile_traceparent_is_none(settings: MakeSettings, traces: Traces) -> None:
    async with in_process(settings(opentelemetry=True)) as served:
        for hostile in ("", "x" * 5000, f"ff{PARENT[2:]}", f"{PARENT}, {PARENT}"):
            traces.clear()
            async with raw_websocket(
                served.port, traceparent=hostile, tracestate="=,=" * 300
            ) as client:
                client.say("hello")
                assert await client.texts(1) == ["Received:hello"]
                handshake = await traces.ended("GET /communicate")

            assert handshake.parent is None, hostile
            assert not context_of(handshake).trace_state


async def test_a_handshake_that_is_refused_says_with_what(
    settings: MakeSettings, traces: Traces
) -> None:
    async with in_process(settings(opentelemetry=True, role="handler")) as served:
        assert (await handshake(served.port)).status == 503
        refused = await traces.ended("GET /communicate")

    assert (refused.attributes or {})["http.response.status_code"] == 503
    assert (refused.attributes or {})["gateway.refusal"] == "role"
    assert refused.status.status_code is StatusCode.ERROR


async def test_what_is_not_sampled_leaves_no_span_and_nothing_on_the_wire(
    settings: MakeSettings, traces: Traces, redis_server: RedisServer
) -> None:
    traces.sampler.root = ALWAYS_OFF
    async with (
        edge_and_handler(settings) as (served, other),
        redis.asyncio.Redis(port=redis_server.port) as spy,
        spy.pubsub() as heard,
    ):
        for worker in (served, other):
            await heard.subscribe(keys.inbox(settings().redis_prefix, worker.worker.me))
            assert await heard.get_message(timeout=5), "no acknowledgement"
        async with raw_websocket(served.port, traceparent=NOT_SAMPLED) as client:
            client.say("hello")
            await client.texts(3)
        kinds: set[type] = set()
        while Reply not in kinds:
            message = await heard.get_message(timeout=5)
            assert message is not None, kinds
            batch = read(message["data"])
            assert batch is not None
            kinds |= {type(envelope) for envelope in batch.envelopes}

    assert {DispatchConnect, Dispatch, Send} <= kinds
    assert not any(kind.__name__.startswith("Traced") for kind in kinds)
    assert not traces.spans


@pytest.mark.parametrize(("edge", "handler"), [(True, False), (False, True)])
async def test_a_worker_that_does_not_trace_is_told_of_none(
    settings: MakeSettings, traces: Traces, edge: bool, handler: bool
) -> None:
    async with (
        edge_and_handler(settings, edge=edge, handler=handler) as (served, _),
        raw_websocket(served.port, traceparent=PARENT) as client,
    ):
        client.say("hello")
        assert sorted(await client.texts(3)) == sorted(["pushed", SECRET, "done"])
        if edge:
            await traces.ended("message")

    names = {span.name for span in traces.spans}
    if edge:
        assert "dispatch message" in names
    assert "handle message" not in names
    assert not names & {"own"} or edge  # what nobody has sampled is no trace of its own either
