"""What is refused to whoever calls about a channel."""

from __future__ import annotations

import pytest

from gateway.errors import BadChannel, ChannelLimit, NotAvailable, WorkerChannelLimit
from gateway.http_api.answers import Problem
from gateway.http_api.call import naming_channel


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (BadChannel("é"), 400, None),
        (NotAvailable("no presence"), 404, None),
        (ChannelLimit("128"), 429, None),
        (WorkerChannelLimit("its owner says worker_channel_limit"), 503, "1"),
    ],
)
def test_the_status_says_whether_it_is_worth_trying_again(
    error: Exception, status: int, retry_after: str | None
) -> None:
    with pytest.raises(Problem) as problem, naming_channel():
        raise error

    response = problem.value.response
    assert (response.status_code, response.headers.get("retry-after")) == (status, retry_after)
