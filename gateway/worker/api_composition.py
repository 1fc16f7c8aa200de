"""The connection API of one worker, put together."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.channels.presence_questions import PresenceQuestions
from gateway.channels.publisher import Publisher
from gateway.edge.addresses import peer_of
from gateway.http_api.batch_calls import BatchCalls
from gateway.http_api.calls import Calls
from gateway.http_api.channel_calls import ChannelCalls
from gateway.http_api.credentials import Credentials
from gateway.http_api.gate import Api
from gateway.http_api.refused_callers import RefusedCallers
from gateway.messaging.channel_survey import ChannelSurvey
from gateway.messaging.requests_to_owners import RequestsToOwners
from gateway.messaging.requests_to_users import RequestsToUsers
from gateway.metrics import Counters
from gateway.protocol.rate import Rate
from gateway.registry.base import Registry
from gateway.settings.config import Settings
from gateway.tracing.variants import Variants


def connection_api(
    settings: Settings,
    *,
    owners: RequestsToOwners,
    users: RequestsToUsers,
    users_of_batches: RequestsToUsers,
    survey: ChannelSurvey,
    registry: Registry,
    publisher: Publisher,
    presence_questions: PresenceQuestions,
    credentials: Credentials,
    counters: Counters,
    variants: Variants,
    now: Callable[[], float],
) -> Api:
    callers = RefusedCallers(now)
    per_second = settings.api_requests_per_second
    return Api(
        calls=Calls(owners, registry, users),
        channel_calls=ChannelCalls(publisher, presence_questions, survey),
        batch_calls=BatchCalls(publisher, users_of_batches, count=counters.count_api_result),
        credentials=credentials,
        body_bytes=settings.api_body_bytes,
        rate=None if per_second is None else Rate(per_second, now=now()),
        count=counters.count_api_request,
        refused=lambda request, reason: callers.refused(peer_of(request.client), reason),
        now=now,
        clock=time.time,
        around=variants.api_call,
    )
