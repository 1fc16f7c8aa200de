"""What the connection API answers: JSON, and for whatever went wrong what would have been right.

Errors carry ``x-amzn-ErrorType``, from which the AWS SDKs make their typed exceptions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from starlette.responses import Response

from gateway.protocol.envelopes.requests_to_owners import Particulars
from gateway.protocol.ids import ConnectionId, WorkerId, owner_of
from gateway.protocol.leases import Leases, WorkerInfo
from gateway.protocol.receipt import Receipt, Sent
from gateway.registry.base import Entry

Json = dict[str, Any]

RETRY_AFTER_S: Final = 1
WRITTEN: Final[Json] = {"receipt": Receipt.WRITTEN.value}

_KINDS: Final = {
    400: "BadRequestException",
    405: "MethodNotAllowedException",
    408: "RequestTimeoutException",
    404: "NotFoundException",
    409: "ConflictException",
    410: "GoneException",
    413: "PayloadTooLargeException",
    429: "LimitExceededException",
    500: "InternalServerErrorException",  # of one of many commands
    503: "ServiceUnavailableException",
}
_RECEIPTS: Final = {
    Receipt.GONE: (410, "there is no such open connection, and there will never be again"),
    Receipt.SLOW: (429, "nothing was sent: too much waits for this connection already"),
    Receipt.UNREACHABLE: (
        503,
        "it may have been done, nobody can know: try again, a send with the same Idempotency-Key",
    ),
}


class Problem(Exception):
    """A call is answered with an error.

    Args:
        message: For whoever called: what was wrong, and what would be right. It repeats no key.
        kind: The name of the error for SDKs; by default the usual one of the status.
        more: More members of the body.

    Attributes:
        status: As given.
        kind: The same.
        body: What is answered.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str | None = None,
        headers: Mapping[str, str] | None = None,
        more: Json | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind or _KINDS[status]
        self.body: Json = {"message": message, **(more or {})}
        self._headers = headers or {}

    @property
    def response(self) -> Response:
        return answer(self.body, self.status, {"x-amzn-errortype": self.kind, **self._headers})

    @property
    def result(self) -> Json:
        """The same among the results of several commands."""
        return {"status": self.status, "error": self.kind, **self.body}


def answer(body: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    # What is said of a connection is true now, and for those who have a key.
    own = {"cache-control": "no-store", "x-content-type-options": "nosniff", **(headers or {})}
    return Response(msgspec.json.encode(body), status, own, "application/json")


def unavailable(message: str, *, more: Json | None = None) -> Problem:
    """503: it is worth trying again."""
    return Problem(503, message, headers={"retry-after": str(RETRY_AFTER_S)}, more=more)


def check(receipt: Receipt) -> None:
    """Go on only after what has been done.

    Raises:
        Problem: It has not, or nobody knows.
    """
    if receipt is Receipt.WRITTEN:
        return
    status, message = _RECEIPTS[receipt]
    more = {"receipt": receipt.value}
    raise unavailable(message, more=more) if status == 503 else Problem(status, message, more=more)


def counts(sent: Sequence[Sent]) -> Json:
    """How many connections gave which receipt."""
    receipts = Counter({receipt.value: 0 for receipt in Receipt})
    receipts.update(each.receipt.value for each in sent)
    return dict(receipts)


def connection(told: Particulars) -> Json:
    """One connection, as its owner knows it."""
    body: Json = {
        "connectedAt": _iso(told.connected_unix_ms),
        "lastActiveAt": _iso(told.last_active_unix_ms),
        "identity": {"sourceIp": told.address, "userAgent": told.user_agent},
    }
    if told.ping_unanswered_ms is not None:
        body["unansweredPingSeconds"] = round(told.ping_unanswered_ms / 1000, 1)
    if told.channels is not None:
        body["channels"] = told.channels
    for name, known in (
        ("waitingBytes", told.waiting_bytes),
        ("received", told.received),
        ("sent", told.sent),
        ("unanswered", told.unanswered),
        ("handledBy", told.handled_by),
    ):
        if known is not None:
            body[name] = known
    return body if told.user is None else {**body, "user": told.user}


def row(name: ConnectionId, entry: Entry) -> Json:
    """One connection, as the registry lists it."""
    return {
        "id": name,
        "worker": owner_of(name),
        "user": entry.user,
        "protocol": entry.protocol,
        "connectedAt": _iso(entry.since_unix_ms),
        "identity": {"sourceIp": entry.address, "userAgent": entry.user_agent},
    }


def workers(leases: Leases, *, fenced: bool) -> list[Json]:
    """The workers that live, by id, and if ``fenced`` those that are swept."""
    return [
        _worker(name, info, end_ms - leases.now_ms, fenced=name in leases.fenced)
        for name, (end_ms, info) in sorted(leases.workers.items())
        if fenced or name not in leases.fenced
    ]


def _worker(name: WorkerId, info: WorkerInfo, left_ms: int, *, fenced: bool) -> Json:
    state = "leaving" if info.leaving else "live" if left_ms > 0 else "lapsed"
    return {
        "id": name,
        "role": info.role,
        "state": "fenced" if fenced else state,
        "host": info.host,
        "pid": info.pid,
        "leaseSeconds": round(left_ms / 1000, 1),
    }


def _iso(unix_ms: int) -> str:
    at = datetime.fromtimestamp(unix_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
