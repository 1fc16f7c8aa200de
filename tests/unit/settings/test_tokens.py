"""Settings of tokens: the tables of the file, the variables, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.settings.config import Settings
from gateway.settings.sources import load

SECRET = "0123456789abcdef0123456789abcdef"
PEM = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"


def from_toml(folder: Path, text: str) -> Settings:
    file = folder / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    return load({}, file=file).settings


def complaint(**environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load({f"GATEWAY_{name}": value for name, value in environment.items()})
    return str(caught.value)


def test_the_file_has_them_in_the_tables_of_centrifugo(tmp_path: Path) -> None:
    settings = from_toml(
        tmp_path,
        f"""
        [client.token]
        hmac_secret_key = "{SECRET}"
        audience = "us"
        [client.subscription_token]
        enabled = true
        hmac_secret_key = "{SECRET}{SECRET}"
        """,
    )

    of_connections, of_subscriptions = (
        settings.token_options(),
        settings.subscription_token_options(),
    )
    assert of_connections.hmac_secret_key.reveal() == SECRET
    assert (of_connections.audience, of_connections.place) == ("us", "client.token")
    assert of_subscriptions.hmac_secret_key.reveal() == SECRET + SECRET
    assert (of_subscriptions.audience, of_subscriptions.place) == ("", "client.subscription_token")


def test_subscription_tokens_have_the_same_keys_unless_they_are_to_have_their_own() -> None:
    settings = load(
        {
            "GATEWAY_TOKEN_HMAC_SECRET_KEY": SECRET,
            "GATEWAY_SUBSCRIPTION_TOKEN_HMAC_SECRET_KEY": SECRET + SECRET,
        }
    ).settings

    assert settings.subscription_token_options() == settings.token_options()


def test_an_option_that_is_none_is_named_with_its_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        from_toml(tmp_path, "[client.token]\nhmac_secret = 'x'\n")

    assert str(caught.value).endswith(
        "there is no setting client.token.hmac_secret; did you mean client.token.hmac_secret_key?"
    )


@pytest.mark.parametrize("text", ["client = 1", "[client]\ntoken = 'x'", "[client.tokens]\na = 1"])
def test_what_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="there is no setting client"):
        from_toml(tmp_path, text)


def test_a_wrong_value_is_named_with_its_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        from_toml(tmp_path, "[client.token]\nleeway_seconds = 601\n")

    assert str(caught.value) == "client.token.leeway_seconds=601 is outside 0 to 600 seconds"


def test_a_secret_has_32_bytes_and_is_not_shown() -> None:
    said = complaint(TOKEN_HMAC_SECRET_KEY=SECRET[1:])

    assert said == (
        "GATEWAY_TOKEN_HMAC_SECRET_KEY=*** has 31 bytes, under 32: openssl rand -hex 32 makes one"
    )


def test_a_public_key_is_no_secret() -> None:
    assert "is a key in PEM" in complaint(TOKEN_HMAC_SECRET_KEY=PEM)


@pytest.mark.parametrize("kind", ["RSA", "ECDSA", "EDDSA"])
def test_a_private_key_is_no_public_one_and_is_not_shown(kind: str) -> None:
    said = complaint(**{f"TOKEN_{kind}_PUBLIC_KEY": PEM.replace("PUBLIC", "PRIVATE")})

    assert "is no public key in PEM" in said
    assert "AAAA" not in said


def test_lines_of_a_key_may_be_written_out() -> None:
    settings = load({"GATEWAY_TOKEN_RSA_PUBLIC_KEY": PEM.replace("\n", "\\n")}).settings

    assert settings.token_rsa_public_key == PEM


@pytest.mark.parametrize("url", ["http://a/jwks", "https://[::1]:8443/x?y=1"])
def test_a_jwks_is_at_a_url(url: str) -> None:
    assert load({"GATEWAY_TOKEN_JWKS_PUBLIC_ENDPOINT": url}).settings.token_jwks_public_endpoint


@pytest.mark.parametrize(
    "url", ["a/jwks", "file:///etc/passwd", "http://", "http://a b", "http://u:p@a", "http://a:x"]
)
def test_a_jwks_is_nowhere_else(url: str) -> None:
    said = complaint(TOKEN_JWKS_PUBLIC_ENDPOINT=url)

    assert "TOKEN_JWKS_PUBLIC_ENDPOINT" in said
    assert ":p@" not in said


def test_a_claim_has_a_name() -> None:
    assert "is no name of a claim" in complaint(TOKEN_USER_ID_CLAIM="user-id")
    assert "is no name of a claim" in complaint(TOKEN_USER_ID_CLAIM="")
