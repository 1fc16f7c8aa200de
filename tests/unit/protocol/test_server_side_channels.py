"""To which channels the server subscribes a client as it connects."""

from __future__ import annotations

from gateway.protocol.server_side_channels import server_side_channels
from gateway.protocol.token_claims import ConnectionClaims, SubscriptionClaims

PLAIN = SubscriptionClaims()
INFO = SubscriptionClaims(info=b"1")


def test_there_are_none_by_default() -> None:
    assert server_side_channels(ConnectionClaims(user="ann"), personal_namespace=None) == {}


def test_each_channel_is_there_once_with_what_is_said_of_it() -> None:
    claims = ConnectionClaims(channels=("news", "room:1", "news"), subs={"room:1": INFO})

    found = server_side_channels(claims, personal_namespace=None)

    assert found == {"room:1": INFO, "news": PLAIN}


def test_a_user_may_have_a_channel_of_its_own() -> None:
    ann = ConnectionClaims(user="ann")

    assert server_side_channels(ann, personal_namespace="") == {"#ann": PLAIN}
    assert server_side_channels(ann, personal_namespace="me") == {"me:#ann": PLAIN}


def test_what_the_token_says_of_that_channel_counts() -> None:
    ann = ConnectionClaims(user="ann", subs={"#ann": INFO})

    assert server_side_channels(ann, personal_namespace="") == {"#ann": INFO}


def test_a_user_after_whom_no_channel_may_be_called_has_none() -> None:
    for user in ("é", "x" * 255, "a\nb"):
        assert server_side_channels(ConnectionClaims(user=user), personal_namespace="") == {}


def test_an_anonymous_client_has_none() -> None:
    assert server_side_channels(ConnectionClaims(), personal_namespace="") == {}
