"""npm's ``centrifuge``, fetched where npm can, and never anything but the pinned file."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Final

import pytest

VERSION: Final = "5.8.0"
SHA256: Final = "0d446d4ad4ef1fc9126a7eddc6a0651977ccfae53aec4160b78b5be0911a1a8b"
FETCH_S: Final = 120.0


def javascript_sdk(folder: Path) -> str:
    """The script that a page includes; it defines ``Centrifuge``."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on PATH")
    fetched = subprocess.run(
        [npm, "pack", "--silent", f"centrifuge@{VERSION}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=FETCH_S,
        check=False,
    )
    if fetched.returncode:
        pytest.skip("npm cannot fetch the SDK")
    packed = (folder / f"centrifuge-{VERSION}.tgz").read_bytes()
    assert hashlib.sha256(packed).hexdigest() == SHA256
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        script = archive.extractfile("package/dist/centrifuge.js")
        assert script is not None
        return script.read().decode()
