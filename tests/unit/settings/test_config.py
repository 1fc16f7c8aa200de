"""Settings: where each comes from, and the one line that tells of a bad one."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.settings import sources
from gateway.settings.config import Settings, variable
from gateway.settings.namespaces import Namespaces
from gateway.settings.sources import choose, current, load
from gateway.settings.values import Secret

# What the design promises. Changing a default is a change for every operator.
DEFAULTS: dict[str, object] = {
    "app": "",
    "host": "127.0.0.1",
    "port": 8000,
    "workers": 1,
    "role": "both",
    "reload": False,
    "redis_url": Secret(""),
    "redis_password_file": "",
    "redis_sentinel_password_file": "",
    "redis_prefix": "gw",
    "redis_bin": "",
    "log_level": "info",
    "log_errors": "auto",
    "allow_anonymous_connect_without_token": False,
    "subscribe_to_user_personal_channel_enabled": False,
    "subscribe_to_user_personal_channel_personal_channel_namespace": "",
    "channel": Namespaces(),
    "trace": False,
    "opentelemetry": False,
    "opentelemetry_traceparent": "link",
    "page": True,
    "message_bytes": 65536,
    "messages_per_second": None,
    "frames_per_second": 1000,
    "max_channels": 100_000,
    "max_connections": 15000,
    "max_connections_per_address": None,
    "handshakes_per_second": None,
    "handshake_seconds": 10.0,
    "outbox_bytes": 1 << 20,
    "stall_seconds": 10.0,
    "handler_seconds": 30.0,
    "handler_concurrency": 1000,
    "handler_subset": 16,
    "lease_seconds": 10.0,
    "drain_seconds": 30.0,
    "allowed_origins": (),
    "allowed_hosts": (),
    "trusted_proxies": (),
    "api_keys": Secret(""),
    "api_keys_file": "",
    "aws_access_keys": Secret(""),
    **{
        beginning + name: default
        for beginning in ("token_", "subscription_token_")
        for name, default in {
            "hmac_secret_key": Secret(""),
            "hmac_previous_secret_key": Secret(""),
            "rsa_public_key": "",
            "ecdsa_public_key": "",
            "eddsa_public_key": "",
            "jwks_public_endpoint": "",
            "audience": "",
            "issuer": "",
            "user_id_claim": "sub",
        }.items()
    },
    "token_leeway_seconds": 60.0,
    "subscription_token_enabled": False,
    "communicate_token": False,
    "api_body_bytes": 131_072,
    "api_requests_per_second": None,
    "admin_bind": "",
}

# Lowest, highest, and what follows the range in the message.
INTEGERS = {
    "port": (0, 65535, "(0: any free port)"),
    "workers": (1, 256, "processes"),
    "message_bytes": (1, 1_000_000, "bytes"),
    "max_channels": (1, 10_000_000, "channels"),
    "max_connections": (1, 1_000_000, "connections"),
    "outbox_bytes": (1024, 1 << 30, "bytes"),
    "handler_concurrency": (1, 100_000, "handlers"),
    "handler_subset": (2, 100_000, "workers"),
    "api_body_bytes": (1, 1_000_000, "bytes"),
}
LIMITS = {
    "messages_per_second": (1, 100_000, "messages/s"),
    "frames_per_second": (1, 1_000_000, "frames/s"),
    "max_connections_per_address": (1, 1_000_000, "connections"),
    "handshakes_per_second": (1, 100_000, "handshakes/s"),
    "api_requests_per_second": (1, 100_000, "requests/s"),
}
SECONDS = {
    "handshake_seconds": (0.1, 300),
    "stall_seconds": (0.1, 300),
    "handler_seconds": (0.1, 3600),
    "lease_seconds": (1, 300),
    "drain_seconds": (0, 3600),
    "token_leeway_seconds": (0, 600),
}
SWITCHES = (
    "reload",
    "trace",
    "opentelemetry",
    "page",
    "subscription_token_enabled",
    "communicate_token",
)
LISTS = {
    "allowed_origins": ("https://a.example", "http://[::1]:8080"),
    "allowed_hosts": ("a.example", "127.0.0.1"),
    "trusted_proxies": ("10.0.0.0/8", "::1"),
}
RANGES: dict[str, tuple[float, float, str]] = {
    **INTEGERS,
    **LIMITS,
    **{name: (low, high, "seconds") for name, (low, high) in SECONDS.items()},
}


def from_environment(**values: str) -> Settings:
    return load({variable(name): value for name, value in values.items()}).settings


def complaint(environment: dict[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        load(environment)
    return str(caught.value)


def test_every_setting_has_the_default_that_was_promised() -> None:
    settings = load({}).settings

    assert {spec.name: getattr(settings, spec.name) for spec in fields(Settings)} == DEFAULTS


def test_every_default_is_one_that_could_be_given() -> None:
    shown = {
        name: ",".join(value) if isinstance(value, tuple) else str(value)
        for name, value in DEFAULTS.items()
        if value is not None and not isinstance(value, Secret)
    }

    assert from_environment(**shown) == load({}).settings


def test_every_setting_says_what_it_is_for_and_what_is_allowed() -> None:
    for spec in fields(Settings):
        assert spec.metadata["meaning"].endswith(".")
        assert spec.metadata["allowed"]


def test_the_variable_of_a_setting_is_its_name_in_capitals() -> None:
    assert variable("redis_url") == "GATEWAY_REDIS_URL"


# Ranges


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("end", [0, 1])
def test_both_ends_of_a_range_are_allowed(name: str, end: int) -> None:
    low, high, _ = RANGES[name]
    value = high if end else low

    assert getattr(from_environment(**{name: str(value)}), name) == value


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("end", [0, 1])
def test_just_outside_a_range_is_one_line_with_name_value_and_range(name: str, end: int) -> None:
    low, high, _ = RANGES[name]
    step = 0.01 if name in SECONDS else 1
    value = high + step if end else low - step

    message = complaint({variable(name): str(value)})

    assert message == f"{variable(name)}={value} is outside {allowed(name)}"


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("value", ["many", "1.5s", "0x10"])
def test_what_is_no_number_is_one_line_with_name_value_and_range(name: str, value: str) -> None:
    what = "a number" if name in SECONDS else "a whole number"

    message = complaint({variable(name): value})

    assert message == f"{variable(name)}={value} is not {what}: {allowed(name)}"


def allowed(name: str) -> str:
    low, high, unit = RANGES[name]
    return f"{'off, or ' if name in LIMITS else ''}{low} to {high} {unit}"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_seconds_are_finite(value: str) -> None:
    assert "is outside 1 to 300 seconds" in complaint({"GATEWAY_LEASE_SECONDS": value})


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", ["off", ""])
def test_a_limit_may_be_off(name: str, value: str) -> None:
    assert getattr(from_environment(**{name: value}), name) is None


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize(
    ("value", "meant"),
    [
        *((text, True) for text in ("1", "true", "yes", "on", "ON")),
        *((text, False) for text in ("0", "false", "no", "off", "Off", "")),
    ],
)
def test_a_switch_is_on_or_off(name: str, value: str, *, meant: bool) -> None:
    assert getattr(from_environment(**{name: value}), name) is meant


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_is_nothing_else(name: str) -> None:
    message = complaint({variable(name): "maybe"})

    assert message == f"{variable(name)}=maybe is neither on (true) nor off (false)"


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("role", ["both", "edge", "handler"]),
        ("log_level", ["debug", "info", "warning", "error"]),
        ("log_errors", ["auto", "type", "full"]),
    ],
)
def test_a_choice_is_one_of_its_choices(name: str, choices: list[str]) -> None:
    for choice in choices:
        assert getattr(from_environment(**{name: choice}), name) == choice

    message = complaint({variable(name): "Both"})
    assert message == f"{variable(name)}=Both is not one of {', '.join(choices)}"


@pytest.mark.parametrize("prefix", ["gw", "my-app_2", "G"])
def test_a_prefix_is_letters_digits_and_dashes(prefix: str) -> None:
    assert from_environment(redis_prefix=prefix).redis_prefix == prefix


@pytest.mark.parametrize("prefix", ["", "a:b", "{a}", "a b", "ä", "-"])
def test_a_prefix_that_could_break_a_key_is_refused(prefix: str) -> None:
    message = complaint({"GATEWAY_REDIS_PREFIX": prefix})

    assert message == f"GATEWAY_REDIS_PREFIX={prefix} is not letters, digits, - and _"


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_cut_at_commas(name: str) -> None:
    a, b = LISTS[name]

    assert getattr(from_environment(**{name: f" {a} , {b},,"}), name) == (a, b)


def test_a_value_with_a_line_break_still_makes_one_line() -> None:
    message = complaint({"GATEWAY_PORT": "80\n81"})

    assert message == r"GATEWAY_PORT='80\n81' is not a whole number: 0 to 65535 (0: any free port)"


def test_what_kubernetes_sets_for_a_service_of_this_name_is_explained() -> None:
    message = complaint({"GATEWAY_PORT": "tcp://10.0.0.1:8000"})

    assert "enableServiceLinks: false" in message
    assert "\n" not in message


# Secrets


@pytest.mark.parametrize(
    "show",
    [repr, str, "{}".format, "{!r:>8}".format, lambda secret: f"{secret}", "%s".__mod__],
    ids=["repr", "str", "format", "format with a width", "f-string", "percent"],
)
def test_a_secret_is_never_shown(show: Any) -> None:
    assert show(Secret("redis://:hidden@host")).strip() == "***"


def test_a_secret_cannot_be_made_json_by_accident() -> None:
    with pytest.raises(TypeError):
        json.dumps(Secret("hidden"))


def test_settings_do_not_show_their_secrets() -> None:
    assert "hidden" not in repr(from_environment(redis_url="redis://:hidden@host"))


def test_a_secret_that_is_not_set_looks_like_nothing() -> None:
    assert str(Secret("")) == ""
    assert not Secret("")


def test_a_secret_can_be_revealed_and_compared() -> None:
    assert Secret("hidden").reveal() == "hidden"
    assert Secret("hidden")
    assert {Secret("hidden")} == {Secret("hidden")}
    assert Secret("hidden") != Secret("other")
    assert Secret("hidden") != "hidden"


# Credentials


def test_api_keys_are_as_secret_as_a_password() -> None:
    settings = from_environment(api_keys="one, two")

    assert settings.api_keys.reveal() == "one, two"
    assert str(settings.api_keys) == "***"


def test_access_keys_are_as_secret_as_a_password() -> None:
    settings = from_environment(aws_access_keys="AKID:hidden")

    assert settings.aws_access_keys.reveal() == "AKID:hidden"
    assert "hidden" not in repr(settings)


def test_a_wrong_api_key_is_one_line_that_does_not_show_it() -> None:
    message = complaint({"GATEWAY_API_KEYS": "fine,hid den"})

    assert message == "GATEWAY_API_KEYS=***: key 2 is not printable ASCII without spaces"


def test_a_wrong_access_key_is_one_line_that_does_not_show_it() -> None:
    message = complaint({"GATEWAY_AWS_ACCESS_KEYS": "AKID:fine,hidden"})

    assert message.startswith("GATEWAY_AWS_ACCESS_KEYS=***: entry 2 is not ID:SECRET, ")
    assert "hidden" not in message


def test_the_file_of_api_keys_is_not_read_by_the_settings() -> None:
    assert from_environment(api_keys_file="/not/there").api_keys_file == "/not/there"


# The settings of the process


@pytest.fixture
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_chosen", None)


@pytest.mark.usefixtures("nothing_chosen")
def test_without_a_choice_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "81")

    assert current().port == 81


@pytest.mark.usefixtures("nothing_chosen")
def test_chosen_settings_hold_for_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "81")
    choose(Settings(port=82))

    assert current().port == 82


# The admin port


@pytest.mark.parametrize("value", ["", "127.0.0.1:9000", "localhost:0", "[::1]:65535"])
def test_an_address_to_listen_on_is_taken(value: str) -> None:
    assert from_environment(admin_bind=value).admin_bind == value


@pytest.mark.parametrize("value", ["9000", ":9000", "localhost", "localhost:", "localhost:65536"])
def test_what_is_no_address_is_one_line(value: str) -> None:
    message = complaint({"GATEWAY_ADMIN_BIND": value})

    assert message == f"GATEWAY_ADMIN_BIND={value} is not HOST:PORT"
