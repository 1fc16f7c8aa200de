"""The folder that a supervisor shares with its workers, and the files that tell tools of it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError
from gateway.protocol.deadlines import LEASE_S
from gateway.worker.health import FOLDER_VARIABLE

METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
SILENCE_S: Final = 60.0
_PREFIX: Final = "gateway-"
_LOCK: Final = "lock"
_locks: Final[dict[Path, int]] = {}


@dataclass(frozen=True, slots=True)
class RunFile:
    """What a running ``gateway serve`` says of itself, readable by its owner only."""

    pid: int
    port: int
    redis_url: str
    redis_prefix: str
    lease_seconds: float = LEASE_S
    folder: str = ""  # where it was started; not known of another release


def make_run_folder() -> Path:
    """Make the private folder of one supervisor, and point its workers to it.

    Folders of supervisors that were killed go: those whose lock nobody holds any more. Forked
    workers hold it together with their supervisor.

    Must come before ``prometheus_client`` is imported: that is when it looks.

    Raises:
        ConfigError: There is no folder for temporary files, or it takes none.
    """
    try:
        _remove_abandoned_folders()
        folder = _make_locked_folder()
        (folder / "metrics").mkdir()
    except OSError as error:
        raise ConfigError(_no_temporary_files(error)) from None
    os.environ[FOLDER_VARIABLE] = str(folder)
    os.environ[METRICS_VARIABLE] = str(folder / "metrics")
    return folder


def remove_run_folder(folder: Path) -> None:
    """Remove it with all that is in it. A second time is no error."""
    shutil.rmtree(folder, ignore_errors=True)
    lock = _locks.pop(folder, None)
    if lock is not None:
        os.close(lock)


def worker_died(folder: Path, pid: int) -> None:
    """Forget what a worker process shared, but for what it has counted."""
    (folder / f"ready-{pid}").unlink(missing_ok=True)
    for gauge in (folder / "metrics").glob(f"gauge_live*_{pid}.db"):
        gauge.unlink(missing_ok=True)


def said_before(kind: str, text: str, *, silence_s: float = SILENCE_S) -> bool:
    """Whether a worker of this supervisor has said so lately: one that fails is started again.

    Args:
        silence_s: For how long it is not to be said again.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder or not Path(folder).is_dir():
        return False
    mark = Path(folder) / f"said-{kind}-{sha256(text.encode()).hexdigest()[:16]}"
    try:
        before = time.monotonic() - float(mark.read_text()) < silence_s
    except (OSError, ValueError):
        before = False
    if not before:
        mark.write_text(str(time.monotonic()))
    return before


def forget_said(kind: str) -> None:
    """What was said is over: if it comes back, it is said again."""
    folder = os.environ.get(FOLDER_VARIABLE)
    for mark in Path(folder).glob(f"said-{kind}-*") if folder else ():
        mark.unlink(missing_ok=True)


def write_run_file(run: RunFile) -> Path:
    """Tell tools of this user where the broker of a running gateway is.

    Raises:
        ConfigError: The folder for it cannot be made, or is not only ours.
    """
    folder = _run_files_folder()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if not _is_ours(folder):
            raise ConfigError(
                f"{folder} is not a folder that only this user can write to: remove it"
            )
        file = folder / f"{run.pid}.json"
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            json.dump(asdict(run), out)
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror}") from None
    return file


def running_gateways() -> Iterator[RunFile]:
    """Those of this user that are alive. Files of dead ones are removed."""
    try:
        folder = _run_files_folder()
    except FileNotFoundError:  # there is no temporary folder, so nothing lies in it
        return
    if not _is_ours(folder):
        return
    for file in sorted(folder.glob("*.json")):
        try:
            run = RunFile(**json.loads(file.read_text()))
            os.kill(run.pid, 0)
        except ProcessLookupError:
            with suppress(OSError):  # it may lie on what is read-only by now
                file.unlink(missing_ok=True)
        except (OSError, ValueError, TypeError, OverflowError):
            continue
        else:
            yield run


def _no_temporary_files(error: OSError) -> str:
    """One line: where there must be room, why there is none, and what gives it."""
    given = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108
    # Python says it at length when it has tried all the usual places.
    why = "not there, or read-only" if error.errno == errno.ENOENT else error.strerror
    return (
        f"cannot write temporary files to {given} ({why}): the run folder needs a place, and so do"
        " the files by which gunicorn knows that workers live. Mount one there"
        " (docker run --read-only --tmpfs /tmp), or name a folder in TMPDIR"
    )


def the_running_gateway(
    *, port: int | None = None, folder: Path | None = None, otherwise: str
) -> RunFile:
    """The one that is meant, never a guess.

    Args:
        port: It listens there.
        folder: It was started there.
        otherwise: What else to do, for the error.

    Raises:
        ConfigError: There is none, or several that do not share everything.
    """
    running = list(running_gateways())
    found = [
        run
        for run in running
        if port in (None, run.port) and (folder is None or run.folder == str(folder))
    ]
    if not found:
        where = f" on port {port}" if port else f" in {folder}" if folder else " here"
        others = f" (others: {_ports(running)})" if running else ""
        raise ConfigError(f"no gateway of this user runs{where}{others}: {otherwise}")
    if len({(run.redis_url, run.redis_prefix) for run in found}) > 1:
        raise ConfigError(f"several gateways run here ({_ports(found)}): {otherwise}")
    return found[0]


def _ports(running: list[RunFile]) -> str:
    numbers = ", ".join(str(run.port) for run in running)
    return f"port {numbers}" if len(running) == 1 else f"ports {numbers}"


def _make_locked_folder() -> Path:
    while True:
        # Below /tmp and short: a unix socket's path may have 104 characters on macOS.
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            _locks[folder] = lock
            return folder
        os.close(lock)  # somebody who cleaned up had it before us, and took it for abandoned


def _remove_abandoned_folders() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if not _is_ours(folder):
            continue
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:  # not a run folder, or one whose lock is yet to be made
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


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
