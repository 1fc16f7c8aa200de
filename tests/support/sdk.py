"""npm's ``centrifuge``: the SDK for browsers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.support.npm import npm_package

VERSION: Final = "5.8.0"
SHA256: Final = "0d446d4ad4ef1fc9126a7eddc6a0651977ccfae53aec4160b78b5be0911a1a8b"


def javascript_sdk(folder: Path) -> str:
    """The script that a page includes; it defines ``Centrifuge``."""
    package = npm_package(folder, "centrifuge", VERSION, SHA256)
    return (package / "dist" / "centrifuge.js").read_text()
