"""The connection API: what each call does, once its caller may."""

from __future__ import annotations

from starlette.responses import Response

from gateway.http_api import answers
from gateway.http_api.answers import Json, Problem, answer
from gateway.http_api.call import (
    Call,
    checking,
    closing_of,
    key_of,
    limit_of,
    naming_channel,
    right,
    switch_of,
    text_of,
    user_of,
    worker_of,
)
from gateway.messaging.requests_to_owners import RequestsToOwners
from gateway.messaging.requests_to_users import RequestsToUsers
from gateway.protocol import channel_names
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.receipt import Receipt
from gateway.registry.base import Entry, Registry


class Calls:
    """Every call. Each answers, or raises ``Problem``."""

    def __init__(
        self,
        requests_to_owners: RequestsToOwners,
        registry: Registry,
        requests_to_users: RequestsToUsers,
    ) -> None:
        self._requests_to_owners = requests_to_owners
        self._registry = registry
        self._requests_to_users = requests_to_users

    async def send(self, call: Call) -> Response:
        text, key = text_of(call), key_of(call)
        with checking():
            answers.check(await self._requests_to_owners.send(call.target, text, key=key))
        return answer(answers.WRITTEN)

    async def inquire(self, call: Call) -> Response:
        told = await self._requests_to_owners.inquire(call.target)
        answers.check(Receipt(told.receipt))
        assert told.particulars is not None  # with this receipt it has them
        return answer(answers.connection(told.particulars))

    async def subscribe(self, call: Call) -> Response:
        with checking(), naming_channel():
            channel_names.check(call.channel)
            receipt = await self._requests_to_owners.subscribe(call.target, call.channel)
        answers.check(receipt)
        return answer(answers.WRITTEN)

    async def unsubscribe(self, call: Call) -> Response:
        with checking(), naming_channel():
            channel_names.check(call.channel)
            receipt = await self._requests_to_owners.unsubscribe(call.target, call.channel)
        answers.check(receipt)
        return Response(status_code=204)

    async def disconnect(self, call: Call) -> Response:
        answers.check(await self._requests_to_owners.disconnect(call.target, *closing_of(call)))
        return Response(status_code=204)

    async def connections(self, call: Call) -> Response:
        limit, worker = limit_of(call), worker_of(call)
        cursor, address = call.query.get("cursor", ""), call.query.get("address")
        if "user" in call.query:
            found, after = await self._page_of_user(call.query["user"], cursor, limit, worker)
        else:
            with checking(), right():
                async with self._requests_to_users.asking_registry():
                    page = self._registry.page(cursor, limit=limit, worker=worker)
                    found, after = await page
        if address is not None:
            found = [pair for pair in found if pair[1].address == address]
        body: Json = {"connections": [answers.row(name, entry) for name, entry in found]}
        return answer(body | ({"cursor": after} if after else {}))

    async def workers(self, call: Call) -> Response:
        fenced = switch_of(call, "fenced", "false")
        with checking():
            async with self._requests_to_users.asking_registry():
                leases = await self._registry.look()
        return answer({"workers": answers.workers(leases, fenced=fenced)})

    async def send_to_user(self, call: Call) -> Response:
        text, key = text_of(call), key_of(call)
        user = user_of(call.target)
        with checking():
            sent = await self._requests_to_users.send(user, text, key=key)
        return answer(answers.counts(sent))

    async def disconnect_user(self, call: Call) -> Response:
        user, (code, reason) = user_of(call.target), closing_of(call)
        with checking():
            sent = await self._requests_to_users.disconnect(user, code, reason)
        return answer(answers.counts(sent))

    async def connections_of_user(self, call: Call) -> Response:
        user = user_of(call.target)
        with checking():
            found = await self._requests_to_users.connections(user)
        return answer({"connections": [answers.row(name, entry) for name, entry in found]})

    async def _page_of_user(
        self, user: str, cursor: str, limit: int, worker: WorkerId | None
    ) -> tuple[list[tuple[ConnectionId, Entry]], str]:
        """All are looked up for each page: they are few. The cursor is the last id."""
        if not user:
            raise Problem(400, "the parameter user is empty")
        with checking():
            found = sorted(
                await self._requests_to_users.connections(user), key=lambda pair: pair[0]
            )
        wanted = [pair for pair in found if pair[0] > cursor]
        if worker is not None:
            wanted = [pair for pair in wanted if pair[0].startswith(f"{worker}.")]
        page = wanted[:limit]
        return page, page[-1][0] if len(wanted) > limit else ""
