"""Files of variables, as systemd and Kustomize read them."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from gateway.settings.config import Settings, variable

OURS = {variable(spec.name) for spec in fields(Settings)}


def set_in(file: Path) -> dict[str, str]:
    """What is set, without the lines that are comments."""
    pairs = re.findall(r"^([A-Z_]+)=(.*)$", file.read_text(), re.MULTILINE)
    return dict(pairs)


def named_in(file: Path) -> set[str]:
    """Every variable that a line sets, or would if it were no comment."""
    return set(re.findall(r"^#?([A-Z_]+)=", file.read_text(), re.MULTILINE))
