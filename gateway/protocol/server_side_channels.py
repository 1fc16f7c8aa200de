"""To which channels the server subscribes a client by itself, as it connects. Pure."""

from __future__ import annotations

from contextlib import suppress

from gateway.errors import BadChannel
from gateway.protocol import channel_names
from gateway.protocol.token_claims import ConnectionClaims, SubscriptionClaims


def server_side_channels(
    claims: ConnectionClaims, *, personal_namespace: str | None
) -> dict[str, SubscriptionClaims]:
    """Each channel, with what its token says of it; ``subs`` goes before ``channels``.

    A token may name any channel whose namespace is set up: whoever signed it has allowed that.

    Args:
        personal_namespace: Where each user has a channel of its own, ``NAMESPACE:#USER``, or
            ``#USER`` for an empty one; None for no such channels. Anonymous clients have none,
            and neither have users after whom no channel may be called.
    """
    found = dict(claims.subs)
    for channel in claims.channels:
        found.setdefault(channel, SubscriptionClaims())
    if personal_namespace is not None and claims.user:
        personal = f"{personal_namespace}:#{claims.user}".removeprefix(":")
        with suppress(BadChannel):
            channel_names.check(personal)
            found.setdefault(personal, SubscriptionClaims())
    return found
