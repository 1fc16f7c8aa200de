"""The connection API: what each call does, once its caller may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from gateway.errors import BrokerUnavailable, Disconnected, EnvelopeTooLarge, check_close
from gateway.http_api import answers
from gateway.http_api.answers import Json, Problem, answer
from gateway.messaging.requests_to_owners import RequestsToOwners
from gateway.messaging.requests_to_users import RequestsToUsers
from gateway.protocol.ids import ConnectionId, WorkerId, is_worker_id
from gateway.protocol.receipt import Receipt, Sent
from gateway.registry.base import Entry, Registry

KEY_HEADERS: Final = ("idempotency-key", "amz-sdk-invocation-id")  # the first one counts
MAX_KEY_LENGTH: Final = 255
MAX_PAGE: Final = 1000
DEFAULT_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Call:
    """One request whose caller may make it.

    Attributes:
        target: What the path names: a connection or a user; else empty.
        query: Parameters by name. Which ones there may be has been checked.
        headers: By their names in lower case.
    """

    target: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


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
        text, key = _text(call), _key(call)
        with _checking():
            answers.check(await self._requests_to_owners.send(call.target, text, key=key))
        return answer({"receipt": Receipt.WRITTEN.value})

    async def inquire(self, call: Call) -> Response:
        told = await self._requests_to_owners.inquire(call.target)
        answers.check(Receipt(told.receipt))
        assert told.particulars is not None  # with this receipt it has them
        return answer(answers.connection(told.particulars))

    async def disconnect(self, call: Call) -> Response:
        answers.check(await self._requests_to_owners.disconnect(call.target, *_closing(call)))
        return Response(status_code=204)

    async def connections(self, call: Call) -> Response:
        limit, worker = _limit(call), _worker(call)
        cursor = call.query.get("cursor", "")
        if "user" in call.query:
            found, after = await self._page_of_user(call.query["user"], cursor, limit, worker)
        else:
            with _checking(), _right():
                async with self._requests_to_users.asking_registry():
                    page = self._registry.page(cursor, limit=limit, worker=worker)
                    found, after = await page
        body: Json = {"connections": [answers.row(name, entry) for name, entry in found]}
        return answer(body | ({"cursor": after} if after else {}))

    async def workers(self, call: Call) -> Response:  # noqa: ARG002 (the shape of every call)
        with _checking():
            async with self._requests_to_users.asking_registry():
                leases = await self._registry.look()
        return answer({"workers": answers.workers(leases)})

    async def send_to_user(self, call: Call) -> Response:
        text, key = _text(call), _key(call)
        user = _user(call.target)
        with _checking():
            return _counts(await self._requests_to_users.send(user, text, key=key))

    async def disconnect_user(self, call: Call) -> Response:
        user, (code, reason) = _user(call.target), _closing(call)
        with _checking():
            return _counts(await self._requests_to_users.disconnect(user, code, reason))

    async def connections_of_user(self, call: Call) -> Response:
        user = _user(call.target)
        with _checking():
            found = await self._requests_to_users.connections(user)
        return answer({"connections": [answers.row(name, entry) for name, entry in found]})

    async def _page_of_user(
        self, user: str, cursor: str, limit: int, worker: WorkerId | None
    ) -> tuple[list[tuple[ConnectionId, Entry]], str]:
        """All are looked up for each page: they are few. The cursor is the last id."""
        if not user:
            raise Problem(400, "the parameter user is empty")
        with _checking():
            found = sorted(
                await self._requests_to_users.connections(user), key=lambda pair: pair[0]
            )
        wanted = [pair for pair in found if pair[0] > cursor]
        if worker is not None:
            wanted = [pair for pair in wanted if pair[0].startswith(f"{worker}.")]
        page = wanted[:limit]
        return page, page[-1][0] if len(wanted) > limit else ""


@contextmanager
def _checking() -> Iterator[None]:
    """Around what may fail for a reason that whoever called must know.

    Raises:
        Problem: It did.
    """
    try:
        yield
    except BrokerUnavailable:
        message = "Redis does not answer, nothing was done: try again"
        raise answers.unavailable(message) from None
    except EnvelopeTooLarge as error:
        raise Problem(413, str(error)) from None


@contextmanager
def _right() -> Iterator[None]:
    """Around what says itself what was wrong with a parameter."""
    try:
        yield
    except ValueError as error:
        raise Problem(400, str(error)) from None


def _counts(sent: list[Sent]) -> Response:
    """How many connections gave which receipt."""
    receipts = Counter({receipt.value: 0 for receipt in Receipt})
    receipts.update(each.receipt.value for each in sent)
    return answer(dict(receipts))


def _user(target: str) -> str:
    if not target:
        raise Problem(400, "the path ends with the name of a user: /@users/NAME")
    return target


def _closing(call: Call) -> tuple[int, str]:
    """The code and the reason of a close."""
    code = call.query.get("code", str(Disconnected.close_code))
    reason = call.query.get("reason", Disconnected.reason)
    with _right():
        check_close(_whole(code), reason)
    return int(code), reason


def _text(call: Call) -> str:
    try:
        return call.body.decode()
    except UnicodeDecodeError as error:
        raise Problem(
            400,
            f"the body is not UTF-8: byte {error.start} cannot be read. It leaves as one text "
            "frame; encode what is binary, in base64 for instance",
        ) from None


def _key(call: Call) -> str | None:
    for name in KEY_HEADERS:
        if (key := call.headers.get(name)) is not None:
            if not 1 <= len(key) <= MAX_KEY_LENGTH:
                message = f"the header {name} has {len(key)} characters, not 1 to {MAX_KEY_LENGTH}"
                raise Problem(400, message)
            return key
    return None


def _limit(call: Call) -> int:
    raw = call.query.get("limit", str(DEFAULT_PAGE))
    try:
        limit = _whole(raw)
    except ValueError:
        limit = 0
    if not 1 <= limit <= MAX_PAGE:
        raise Problem(400, f"limit={raw} is not a whole number from 1 to {MAX_PAGE}")
    return limit


def _worker(call: Call) -> WorkerId | None:
    worker = call.query.get("worker")
    if worker is None:
        return None
    if not is_worker_id(worker):
        raise Problem(400, f"worker={worker} is not a worker's id: 16 of a-z and 0-9")
    return WorkerId(worker)


def _whole(text: str) -> int:
    """A number of at most nine digits.

    Raises:
        ValueError: It is none.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)
