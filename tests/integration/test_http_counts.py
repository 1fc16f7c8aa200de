"""What a call of the connection API costs, in things that do not depend on the machine."""

from __future__ import annotations

from typing import Any

import httpx

from gateway.edge.sockets.uvicorn_http import GatewayHttp
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.integration.test_http_api import KEY, SHOWN
from tests.support.counted_sockets import CountedTransport
from tests.support.inprocess import in_process

CALLS = 10


async def test_a_call_is_answered_in_one_write(settings: MakeSettings) -> None:
    made: list[CountedTransport] = []

    class Counted(GatewayHttp):
        def connection_made(self, transport: Any) -> None:
            made.append(CountedTransport(transport))
            super().connection_made(made[-1])  # type: ignore[arg-type]  # it is one but for its type

    served = in_process(settings(api_keys=Secret(KEY), redis_url=Secret("")), http=Counted)
    async with served as running, httpx.AsyncClient(base_url=running.url, headers=SHOWN) as http:
        for _ in range(CALLS):
            assert (await http.post("/@channels/news", content="1")).status_code == 200

    assert [transport.writes for transport in made] == [CALLS]
