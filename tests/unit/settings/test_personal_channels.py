"""Where each user has a channel of its own, as the operator says."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.settings.config import Settings
from gateway.settings.sources import load

OWN = "[[channel.namespaces]]\nname = 'own'\n"
PLACE = "client.subscribe_to_user_personal_channel"


def from_toml(folder: Path, text: str) -> Settings:
    file = folder / "gateway.toml"
    file.write_text(text)
    return load({}, file=file).settings


@pytest.mark.parametrize(
    ("text", "namespace"),
    [
        ("", None),
        (f"[{PLACE}]\npersonal_channel_namespace = 'own'\n", None),
        (f"[{PLACE}]\nenabled = true\n", ""),
        (
            f"[{PLACE}]\nenabled = true\npersonal_channel_namespace = 'own'\n{OWN}",
            "own",
        ),
    ],
)
def test_it_is_where_centrifugo_has_it(tmp_path: Path, text: str, namespace: str | None) -> None:
    assert from_toml(tmp_path, text).personal_namespace == namespace


def test_its_namespace_must_be_there(tmp_path: Path) -> None:
    text = f"[{PLACE}]\nenabled = true\npersonal_channel_namespace = 'own'\n"
    with pytest.raises(ConfigError, match=r"personal_channel_namespace=own: there is no such"):
        from_toml(tmp_path, text)
