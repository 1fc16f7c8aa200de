"""Options of channels: read, refused, and found by the name of a channel."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from datetime import timedelta

import pytest

from gateway.errors import BadChannel, ConfigError, UnknownChannel
from gateway.settings.namespaces import ChannelOptions, Namespaces, parse
from gateway.settings.sources import load

HISTORY = 'history_size = 10\nhistory_ttl = "60s"\n'


def of_toml(text: str) -> Namespaces:
    return parse("channel", tomllib.loads(text)["channel"])


def room(options: str) -> ChannelOptions:
    return of_toml(f'[[channel.namespaces]]\nname = "room"\n{options}').options_of("room:1")


def complaint(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        of_toml(text)
    return str(caught.value)


def complaint_of_room(options: str) -> str:
    said = complaint(f'[[channel.namespaces]]\nname = "room"\n{options}')
    assert said.startswith("channel.namespaces room: ")
    return said.removeprefix("channel.namespaces room: ")


def test_nothing_is_allowed_kept_or_told_by_default() -> None:
    lifetime = "history_meta_ttl"

    assert not [
        spec.name
        for spec in fields(ChannelOptions)
        if getattr(ChannelOptions(), spec.name) and spec.name != lifetime
    ]


def test_a_namespace_has_its_own_options_and_inherits_none() -> None:
    namespaces = of_toml(
        "[channel.without_namespace]\npresence = true\n"
        '[[channel.namespaces]]\nname = "room"\njoin_leave = true\n'
        '[[channel.namespaces]]\nname = "stock.eu"\n' + HISTORY
    )

    assert namespaces.options_of("news") == ChannelOptions(presence=True)
    assert namespaces.options_of("$room:1:2") == ChannelOptions(join_leave=True)
    assert namespaces.options_of("stock.eu:x").history_ttl == timedelta(seconds=60)


@pytest.mark.parametrize("channel", ["rooms:1", ":1", "ROOM:1", "room#ann:1"])
def test_a_channel_of_an_unknown_namespace_is_refused(channel: str) -> None:
    namespaces = of_toml('[[channel.namespaces]]\nname = "room"')

    with pytest.raises(UnknownChannel) as caught:
        namespaces.options_of(channel)
    assert caught.value.error_code == 102


def test_what_is_no_name_of_a_channel_is_refused() -> None:
    with pytest.raises(BadChannel) as caught:
        Namespaces().options_of("a" * 256)
    assert caught.value.error_code == 107


# Options


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_a_history_may_be_as_long_as_its_bounds(size: int) -> None:
    lifetime = '"1s"' if size else '"0s"'

    assert room(f"history_size = {size}\nhistory_ttl = {lifetime}").history_size == size


@pytest.mark.parametrize("size", [-1, 100_001])
def test_no_history_is_longer(size: int) -> None:
    said = complaint_of_room(f"history_size = {size}")

    assert said == f"history_size={size} is outside 0 to 100000 publications"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("300s", 300), ("5m", 300), ("1h30m", 5400), ("2h3m4s", 7384), ("8760h", 31_536_000)],
)
def test_a_duration_is_written_as_centrifugo_does(text: str, seconds: int) -> None:
    options = room(f'history_meta_ttl = "{text}"')

    assert options.history_meta_ttl == timedelta(seconds=seconds)


@pytest.mark.parametrize("raw", ['"300"', "300", '"1d"', '"1.5h"', '"-1s"', '""', '"5 m"', "true"])
def test_what_is_no_duration_is_refused(raw: str) -> None:
    said = complaint_of_room(f"history_ttl = {raw}")

    assert said.endswith("is not a duration such as 300s, 5m or 1h30m: 0s to 8760h")


@pytest.mark.parametrize("raw", ["0s", "8760h1s", "999999999h" * 1000])
def test_a_duration_outside_its_bounds_is_refused(raw: str) -> None:
    said = complaint_of_room(f'history_meta_ttl = "{raw}"')

    assert said == f"history_meta_ttl={raw} is outside 1s to 8760h"


@pytest.mark.parametrize(
    "name", ["allow_positioning", "force_positioning", "allow_recovery", "force_recovery"]
)
def test_positions_need_a_history(name: str) -> None:
    assert getattr(room(f"{name} = true\n{HISTORY}"), name)
    assert complaint_of_room(f"{name} = true") == f"{name} needs history_size and history_ttl"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("history_size = 1", "history_size needs history_ttl"),
        ('history_ttl = "1s"', "history_ttl needs history_size"),
        (f'{HISTORY}history_meta_ttl = "59s"', "history_ttl is over history_meta_ttl"),
        ("force_push_join_leave = true", "force_push_join_leave needs join_leave"),
        ("presence = 2", "presence=2 is neither on (true) nor off (false)"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: str, said: str) -> None:
    assert complaint_of_room(options) == said


# What the table is made of


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[channel.without_namespace]\nhistory_sise = 1",
            (
                "channel.without_namespace: there is no option history_sise; "
                "did you mean history_size?"
            ),
        ),
        (
            '[[channel.namespaces]]\nname = "room"\npresense = true',
            "channel.namespaces room: there is no option presense; did you mean presence?",
        ),
        (
            "[channel.namespace]",
            "channel: there is no option namespace; did you mean namespaces?",
        ),
        ("[channel]\nq = 1", "channel: there is no option q"),
        (
            "[channel.namespaces]",
            "channel.namespaces is not a list of tables: [[channel.namespaces]]",
        ),
        ("[channel]\nnamespaces = [1]", "channel.namespaces number 1 is not a table"),
        ("[channel]\nwithout_namespace = 1", "channel.without_namespace is not a table"),
        (
            '[[channel.namespaces]]\nname = "ab"\n[[channel.namespaces]]\npresence = true',
            "channel.namespaces number 2: it has no name",
        ),
        (
            '[[channel.namespaces]]\nname = "ab"\n[[channel.namespaces]]\nname = "ab"',
            "channel.namespaces ab: there are two of that name",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(text: str, said: str) -> None:
    assert complaint(text) == said


@pytest.mark.parametrize("name", ['"a"', '"a:b"', '"$ab"', '""', "1", '"bü"'])
def test_a_namespace_needs_a_name_that_channels_can_have(name: str) -> None:
    said = complaint(f"[[channel.namespaces]]\nname = {name}")

    assert said.startswith("channel.namespaces number 1: name=")
    assert said.endswith("is not two or more letters, digits, -, _ and .")


# As a setting


def test_a_variable_holds_the_same_as_json() -> None:
    raw = '{"namespaces": [{"name": "room", "presence": true}]}'
    channel = load({"GATEWAY_CHANNEL": raw}).settings.channel

    assert channel.options_of("room:1").presence
    assert load({"GATEWAY_CHANNEL": ""}).settings.channel == Namespaces()


@pytest.mark.parametrize(
    ("raw", "said"),
    [("{", "GATEWAY_CHANNEL is no JSON: "), ("[]", "GATEWAY_CHANNEL is not a table")],
)
def test_a_variable_that_is_no_table_is_refused(raw: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load({"GATEWAY_CHANNEL": raw})


def test_what_was_chosen_is_shown_with_its_place() -> None:
    without_namespace = "[channel.without_namespace]\npresence = true\n"
    namespaces = of_toml(f'{without_namespace}[[channel.namespaces]]\nname = "room"\n{HISTORY}')

    assert list(namespaces.chosen()) == [
        ("channel.without_namespace", "presence", True),
        ("channel.namespaces room", "history_size", 10),
        ("channel.namespaces room", "history_ttl", timedelta(seconds=60)),
    ]
    assert str(namespaces) == "room"


def test_what_is_shared_with_other_processes_is_read_as_the_same() -> None:
    namespaces = parse(
        "channel",
        {
            "without_namespace": {"presence": True},
            "namespaces": [
                {"name": "room", "history_size": 5, "history_ttl": "1h30m"},
                {"name": "quiet"},
            ],
        },
    )

    assert parse("channel", namespaces.as_json()) == namespaces
    assert parse("channel", Namespaces().as_json()) == Namespaces()
