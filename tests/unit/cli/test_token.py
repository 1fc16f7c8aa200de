"""``gateway token`` prints tokens that the gateway of the same settings takes."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.errors import ConfigError
from tests.support.tokens import OTHER_SECRET, SECRET

ENVIRONMENT = {"GATEWAY_TOKEN_HMAC_SECRET_KEY": SECRET}


def minted(*arguments: str, **environment: str) -> str:
    result = CliRunner().invoke(app, ["token", *arguments], env={**ENVIRONMENT, **environment})
    if result.exception is not None:
        raise result.exception
    return result.output.strip()


def claims(*arguments: str, key: str = SECRET, **environment: str) -> dict[str, Any]:
    token = minted(*arguments, **environment)
    return jwt.decode(token, key, algorithms=["HS256"], options={"verify_aud": False})


def test_a_token_is_for_a_user_and_an_hour() -> None:
    found = claims("--user", "alice")

    assert found.keys() == {"sub", "iat", "exp"}
    assert found["sub"] == "alice"
    assert found["exp"] - found["iat"] == 3600


def test_how_long_it_lasts_is_said_or_off() -> None:
    found = claims("--ttl", "90s")

    assert found["exp"] - found["iat"] == 90
    assert "exp" not in claims("--ttl", "off")


def test_info_and_channels_are_in_it() -> None:
    found = claims("--user", "a", "--info", '{"name": "A"}', "--channels", "news, room:1")

    assert found["info"] == {"name": "A"}
    assert found["channels"] == ["news", "room:1"]


def test_a_channel_makes_it_a_subscription_token() -> None:
    assert claims("--user", "a", "--channel", "room:1")["channel"] == "room:1"


def test_subscription_tokens_may_have_a_secret_of_their_own() -> None:
    own = {
        "GATEWAY_SUBSCRIPTION_TOKEN_ENABLED": "on",
        "GATEWAY_SUBSCRIPTION_TOKEN_HMAC_SECRET_KEY": OTHER_SECRET,
    }

    assert claims("--channel", "room:1", key=OTHER_SECRET, **own)
    assert claims(key=SECRET, **own)


def test_what_the_settings_ask_for_is_in_it() -> None:
    found = claims(
        "--user",
        "a",
        GATEWAY_TOKEN_AUDIENCE="us",
        GATEWAY_TOKEN_ISSUER="me",
        GATEWAY_TOKEN_USER_ID_CLAIM="user_id",
    )

    assert (found["aud"], found["iss"], found["user_id"]) == ("us", "me", "a")


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        ((), {"GATEWAY_TOKEN_HMAC_SECRET_KEY": ""}, "there is no client.token.hmac_secret_key"),
        (("--ttl", "soon"), {}, "--ttl=soon is not a duration"),
        (("--info", "{"), {}, "--info is no JSON"),
        (("--user", "x" * 257), {}, "nobody would take that token: the user is over 256 bytes"),
        (("--channels", "a,ü"), {}, "nobody would take that token"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: tuple[str, ...], environment: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        minted(*arguments, **environment)

    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_token_is_for_a_connection_or_for_a_subscription() -> None:
    with pytest.raises(SystemExit):
        minted("--channel", "a", "--channels", "b")
