"""What edges ask of an application's hooks, and what they are answered.

Only workers that declare hooks are asked (``gateway.protocol.leases.WorkerInfo.hooks``): one of a
release that has none would leave the question out. ``Rejected`` and ``Failed`` are answers too.
"""

from __future__ import annotations

from gateway.protocol.envelopes.kinds import Envelope, register
from gateway.protocol.hooks import HookKind, HookRequest
from gateway.protocol.ids import ConnectionId


@register
class DispatchHook(Envelope, tag=30, frozen=True):
    """Edge to handler: a ``gateway.protocol.hooks.HookRequest``.

    ``kind`` is a text: one that is not known is answered, and a name of an enum would be left out.
    """

    connection: ConnectionId
    number: int
    attempt: int
    kind: str
    name: str
    data: bytes = b""
    claims: bytes = b""
    info: bytes = b""
    code: int = 0
    reason: str = ""

    @property
    def request(self) -> HookRequest:
        """What is asked.

        Raises:
            ValueError: The kind is one of another release.
        """
        return HookRequest(
            HookKind(self.kind),
            self.name,
            self.data,
            self.claims,
            self.info,
            self.code,
            self.reason,
        )


@register
class HookAnswered(Envelope, tag=31, frozen=True):
    """Handler to edge: let it happen. The fields of ``gateway.protocol.hooks.HookResult``."""

    connection: ConnectionId
    number: int
    attempt: int
    data: bytes | None = None
    info: bytes | None = None
    expires_unix_s: float | None = None


@register
class HookDenied(Envelope, tag=32, frozen=True):
    """Handler to edge: answer it with this error."""

    connection: ConnectionId
    number: int
    attempt: int
    code: int
    message: str
    temporary: bool = False


def asking(
    connection: ConnectionId, number: int, attempt: int, request: HookRequest
) -> DispatchHook:
    """The other way round of ``DispatchHook.request``."""
    return DispatchHook(
        connection,
        number,
        attempt,
        request.kind.value,
        request.name,
        request.data,
        request.claims,
        request.info,
        request.code,
        request.reason,
    )
