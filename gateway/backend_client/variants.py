"""Of which classes a client is made: those that tell the trace of their caller, or those that do
not even ask.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from gateway.backend_client.receipt_inbox import ClientInbox
from gateway.channels.presence_questions import PresenceQuestions
from gateway.channels.publisher import Publisher
from gateway.messaging.channel_survey import ChannelSurvey
from gateway.messaging.requests_to_owners import RequestsToOwners
from gateway.messaging.requests_to_users import RequestsToUsers

# As the specification of OpenTelemetry has it for processes that begin others.
TRACEPARENT_VARIABLE: Final = "TRACEPARENT"
TRACESTATE_VARIABLE: Final = "TRACESTATE"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientVariants:
    """How to make each part of which there is one that traces."""

    inbox: Callable[..., ClientInbox] = ClientInbox
    requests_to_owners: Callable[..., RequestsToOwners] = RequestsToOwners
    publisher: Callable[..., Publisher] = Publisher
    presence: Callable[..., PresenceQuestions] = PresenceQuestions
    requests_to_users: Callable[..., RequestsToUsers] = RequestsToUsers
    survey: Callable[..., ChannelSurvey] = ChannelSurvey


PLAIN: Final = ClientVariants()


def client_variants() -> ClientVariants:
    """Those of one client: where the API of OpenTelemetry is installed, its caller may have a span.

    Whether there is one is asked at each call, and where spans go is up to the caller's process:
    here nothing is set up.
    """
    if not _can_trace():
        return PLAIN
    from gateway.backend_client.traced import traced_client_variants  # noqa: PLC0415

    return traced_client_variants()


@contextmanager
def below_the_caller_of_this_process() -> Iterator[None]:
    """Within the block the span is current that ``TRACEPARENT`` of the environment names, if any.

    Of commands, whose caller is another process.
    """
    traceparent = os.environ.get(TRACEPARENT_VARIABLE)
    if not traceparent or not _can_trace():
        yield
        return
    from gateway.backend_client.traced import below  # noqa: PLC0415

    with below(traceparent, os.environ.get(TRACESTATE_VARIABLE, "")):
        yield


def _can_trace() -> bool:
    return find_spec("opentelemetry") is not None and find_spec("opentelemetry.trace") is not None
