"""Which trace owners are told by a client, on bad days; and that off nothing is imported for it."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from gateway.backend_client import traced
from gateway.backend_client.traced import TracedClientInbox, TracedClientRequests
from gateway.broker.memory import MemoryBroker
from gateway.errors import BrokerUnavailable, EnvelopeTooLarge
from gateway.protocol.envelopes.requests_to_owners import Question, Receipted, Send
from gateway.protocol.envelopes.traced import TracedSend
from gateway.protocol.envelopes.wire import MAX_ENVELOPE_BYTES, encode
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import Leases, WorkerInfo
from gateway.protocol.receipt import Receipt
from gateway.tracing.tracing import Tracing
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.traces import Traces

OWNER = new_worker_id()
CONNECTION = f"{OWNER}.{new_connection_id().partition('.')[2]}"
LARGEST = MAX_ENVELOPE_BYTES - len(encode(Send(new_connection_id(), 1, ""))) - 4


class Answering(TracedClientInbox):
    """Owners that answer at once.

    Attributes:
        asked: What they were.
    """

    def __init__(self) -> None:
        super().__init__(new_worker_id(), MemoryBroker(), "gw")
        self.asked: list[Question] = []

    def ask(self, owner: WorkerId, question: Question) -> bool:
        super().ask(owner, question)
        self.asked.append(self._waiting.pop()[1])
        answer = Receipted(question.connection, question.number, Receipt.WRITTEN)  # type: ignore[union-attr]
        asyncio.get_running_loop().call_soon(self._requests.answered, owner, answer)
        return True


class Workers:
    """What Redis says of them.

    Attributes:
        looks: How often it was asked.
    """

    def __init__(self, *, traces: bool = True) -> None:
        self.looks = 0
        self.away = False
        self._info = WorkerInfo(edge=True, handler=True, traces=traces)

    async def look(self) -> Leases:
        self.looks += 1
        if self.away:
            raise BrokerUnavailable("it is away")
        return Leases(0, {OWNER: (1, self._info)}, ())


def client_of(
    workers: Workers, provider: trace.TracerProvider | None = None
) -> tuple[TracedClientRequests, Answering]:
    inbox = Answering()
    tracer = (provider or Traces(everywhere=False).provider).get_tracer("test")
    requests = TracedClientRequests(
        Tracing(tracer, None), inbox, workers.look, lease_s=10.0, unlinked=True
    )
    inbox.requests_to_owners = requests
    return requests, inbox


def a_span() -> trace.Span:
    return Traces(everywhere=False).provider.get_tracer("test").start_span("view")


async def test_an_owner_is_looked_up_once() -> None:
    requests, inbox = client_of(workers := Workers())
    with trace.use_span(a_span()):
        for _ in range(3):
            assert await requests.send(CONNECTION, "text") is Receipt.WRITTEN

    assert [type(question) for question in inbox.asked] == [TracedSend] * 3
    assert workers.looks == 1


async def test_where_its_process_has_no_provider_the_callers_own_span_goes_on() -> None:
    requests, inbox = client_of(Workers(), trace.NoOpTracerProvider())
    said = f"00-{'a' * 32}-{'b' * 16}-01"
    with traced.below(said, "a=1"):
        await requests.send(CONNECTION, "text")

    [sent] = inbox.asked
    assert isinstance(sent, TracedSend)
    assert sent.trace == (said, "a=1")


async def test_while_redis_does_not_say_it_is_sent_plainly() -> None:
    requests, inbox = client_of(workers := Workers())
    workers.away = True
    with trace.use_span(a_span()):
        assert await requests.send(CONNECTION, "text") is Receipt.WRITTEN
        workers.away = False
        await requests.send(CONNECTION, "text")

    assert [type(question) for question in inbox.asked] == [Send, TracedSend]


async def test_a_look_holds_a_send_up_no_longer_than_its_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traced, "LEARN_S", 0.01)
    requests, inbox = client_of(workers := Workers())
    monkeypatch.setattr(requests._looks, "_look", asyncio.Event().wait)
    with trace.use_span(a_span()):
        async with asyncio.timeout(5):
            assert await requests.send(CONNECTION, "text") is Receipt.WRITTEN
    await requests.aclose()

    assert [type(question) for question in inbox.asked] == [Send]
    assert not workers.looks


async def test_the_longest_text_goes_without_its_trace() -> None:
    requests, inbox = client_of(Workers())
    with trace.use_span(a_span()):
        await requests.send(CONNECTION, "x" * LARGEST)
        with pytest.raises(EnvelopeTooLarge):
            await requests.send(CONNECTION, "x" * (LARGEST + 100))

    assert [type(question) for question in inbox.asked] == [Send]


@pytest.mark.parametrize("hostile", ["", "00-0-0-01", "ff" * 500])
def test_an_environment_that_names_no_span_is_none(hostile: str) -> None:
    with traced.below(hostile, "=,=" * 300):
        assert not traced._is_traced()


def test_off_a_client_is_made_without_the_extra_and_imports_nothing_for_it() -> None:
    script = (
        "import os, sys\n"
        "sys.modules['opentelemetry'] = None\n"
        "os.environ['TRACEPARENT'] = '00-' + 'a' * 32 + '-' + 'b' * 16 + '-01'\n"
        "import gateway.backend_client.client\n"
        "from gateway.backend_client.variants import PLAIN, client_variants\n"
        "from gateway.backend_client.variants import below_the_caller_of_this_process as below\n"
        "assert client_variants() is PLAIN\n"
        "with below(): pass\n"
        "assert not [name for name in sys.modules if name.startswith('gateway.tracing')]\n"
    )

    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


def test_a_client_says_no_worker_of_itself() -> None:
    traces = Traces(everywhere=False)
    tracing = Tracing(traces.provider.get_tracer("test"), None)
    tracing.start("send", SpanKind.PRODUCER).end()

    assert "gateway.worker" not in (traces.named("send")[0].attributes or {})
