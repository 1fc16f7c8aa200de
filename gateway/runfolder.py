"""The folder that a supervisor shares with its workers, and the files that tell tools of it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError
from gateway.health import FOLDER_VARIABLE

METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"


@dataclass(frozen=True, slots=True)
class RunFile:
    """What a running ``gateway serve`` says of itself, readable by its owner only."""

    pid: int
    port: int
    redis_url: str
    redis_prefix: str
    lease_seconds: float = 10.0


def make_run_folder() -> Path:
    """Make the private folder of one supervisor, and point its workers to it.

    Must come before ``prometheus_client`` is imported: that is when it looks.
    """
    # Below /tmp and short: a unix socket's path may have 104 characters on macOS.
    folder = Path(tempfile.mkdtemp(prefix="gateway-"))
    (folder / "metrics").mkdir()
    os.environ[FOLDER_VARIABLE] = str(folder)
    os.environ[METRICS_VARIABLE] = str(folder / "metrics")
    return folder


def remove_run_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def worker_died(folder: Path, pid: int) -> None:
    """Forget what a worker process shared, but for what it has counted."""
    (folder / f"ready-{pid}").unlink(missing_ok=True)
    for gauge in (folder / "metrics").glob(f"gauge_live*_{pid}.db"):
        gauge.unlink(missing_ok=True)


def write_run_file(run: RunFile) -> Path:
    """Tell tools of this user where the broker of a running gateway is.

    Raises:
        ConfigError: The folder for it cannot be made, or is not only ours.
    """
    folder = _run_files_folder()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror}") from None
    if not _is_ours(folder):
        raise ConfigError(f"{folder} is not a folder that only this user can write to: remove it")
    file = folder / f"{run.pid}.json"
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        json.dump(asdict(run), out)
    return file


def running_gateways() -> Iterator[RunFile]:
    """Those of this user that are alive. Files of dead ones are removed."""
    folder = _run_files_folder()
    if not _is_ours(folder):
        return
    for file in sorted(folder.glob("*.json")):
        try:
            run = RunFile(**json.loads(file.read_text()))
            os.kill(run.pid, 0)
        except ProcessLookupError:
            file.unlink(missing_ok=True)
        except (OSError, ValueError, TypeError, OverflowError):
            continue
        else:
            yield run


def _run_files_folder() -> Path:
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and Path(base).is_dir():  # under sudo or in a container it may name what is not there
        return Path(base) / "gateway"
    return Path(tempfile.gettempdir()) / f"gateway-run-{os.getuid()}"


def _is_ours(folder: Path) -> bool:
    """Whether nobody else can have put a file there: in /tmp its name could be taken before us."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
