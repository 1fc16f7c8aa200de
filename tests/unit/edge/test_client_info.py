"""Who is at the other end of a socket."""

from __future__ import annotations

from starlette.datastructures import Headers

from gateway.edge.client_info import ClientInfo
from gateway.protocol.envelopes.dispatching import Admitted
from gateway.protocol.ids import ConnectionId
from gateway.protocol.token_claims import ConnectionClaims


def test_a_decision_that_says_nothing_leaves_what_a_token_said() -> None:
    """As that of a handler worker that knows nothing of tokens."""
    client = ClientInfo(address="", headers=Headers(), query="", subprotocols=())
    client.identify(ConnectionClaims(user="ann", expires_at=100.0))
    client.admit(Admitted(ConnectionId("c"), 1, 1, None))

    assert client.user == "ann"
    assert client.expires_unix_s == 100.0
