"""The rooms that ``make run`` and compose have out of the box."""

from __future__ import annotations

import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.settings import namespaces
from gateway.settings.config import Settings
from tests.support import shipped_rooms
from tests.support.serve import ROOT


def test_both_have_the_same_rooms() -> None:
    assert namespaces.parse("channel", shipped_rooms.of_make_run()) == namespaces.parse(
        "channel", shipped_rooms.of_compose()
    )


def test_a_room_keeps_what_was_said_and_tells_who_is_there() -> None:
    options = namespaces.parse("channel", shipped_rooms.of_make_run()).options_of("room:lobby")

    assert (options.history_size, options.history_ttl) == (100, timedelta(seconds=300))
    assert options.allow_subscribe_for_client
    assert options.allow_subscribe_for_anonymous
    assert options.allow_publish_for_subscriber
    assert options.force_recovery
    assert options.allow_history_for_subscriber
    assert options.presence
    assert options.allow_presence_for_subscriber
    assert options.join_leave
    assert options.force_push_join_leave


def test_without_them_there_is_no_room() -> None:
    assert not Settings().channel.named
    assert not Settings().allow_anonymous_connect_without_token


@pytest.mark.parametrize(
    ("environment", "given"),
    [
        ({}, shipped_rooms.of_make_run()),
        ({"GATEWAY_CHANNEL": "{}"}, "{}"),
        ({"GATEWAY_CONFIG": "/etc/chat.toml"}, None),
    ],
)
def test_make_run_sets_them_up_unless_somebody_else_does(
    environment: dict[str, str], given: str | None, tmp_path: Path
) -> None:
    """A variable would hide what a TOML file says of channels."""
    makefile = (ROOT / "Makefile").read_text().replace("exec $(BIN)/gateway", "env; : ")
    (tmp_path / "Makefile").write_text(makefile.replace("run: install\n", "run:\n"))
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("GATEWAY_", "MAKE"))}
    shown = subprocess.run(
        ["make", "--no-print-directory", "run"],
        cwd=tmp_path, env=clean | environment, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    variables = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    assert variables.get("GATEWAY_CHANNEL") == given
