"""The private folder that a supervisor shares with its workers."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import sys
import tempfile
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError
from gateway.worker.health import FOLDER_VARIABLE

METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
SILENCE_S: Final = 60.0
# The files of prometheus_client for each process, by what their names begin with. Twice what a
# worker of today counts, so that none has to grow.
METRIC_FILES: Final = {
    "counter": 1 << 17, "gauge_livemax": 1 << 16, "gauge_livesum": 1 << 16, "histogram": 1 << 16,
}  # fmt: skip
_PREFIX: Final = "gateway-"
_LOCK: Final = "lock"
_locks: Final[dict[Path, list[int]]] = {}


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
        _reserve(folder)
    except OSError as error:
        raise ConfigError(_no_temporary_files(error)) from None
    os.environ[FOLDER_VARIABLE] = str(folder)
    os.environ[METRICS_VARIABLE] = str(folder / "metrics")
    return folder


def restore_run_folder(folder: Path) -> bool:
    """Make it anew if it is gone: whoever tidies up ``/tmp`` knows nothing of us.

    Returns:
        Whether it was gone. What the workers of before share there is lost until they end.

    Raises:
        OSError: It cannot be made.
    """
    metrics = folder / "metrics"
    if metrics.is_dir():
        return False
    if not is_ours(folder):
        folder.mkdir(mode=0o700)  # never one that somebody else has put there
        _lock(folder)
    metrics.mkdir()
    return True


def remove_run_folder(folder: Path) -> None:
    """Remove it with all that is in it. A second time is no error."""
    shutil.rmtree(folder, ignore_errors=True)
    _unlock(folder)


def reserve_metrics() -> None:
    """Take the room that this process needs to count, before it counts.

    prometheus_client maps files without blocks into memory. Where a disk is full the kernel ends
    who writes there with SIGBUS, and without a word: a worker that starts, or one that has long
    served and counts something for the first time.

    Raises:
        ConfigError: There is none.
    """
    folder = _shared_folder()
    if folder is None:
        return
    try:
        _reserve(folder)
    except OSError as error:
        raise ConfigError(_no_temporary_files(error)) from None


def check_room(workers: int) -> None:
    """Whether so many workers more could take theirs.

    Raises:
        ConfigError: They could not.
    """
    folder = _shared_folder()
    if folder is None:
        return
    tried = folder / "room"
    try:
        with tried.open("wb") as blocks:
            _take_blocks(blocks.fileno(), workers * sum(METRIC_FILES.values()))
    except OSError as error:
        raise ConfigError(_no_temporary_files(error)) from None
    finally:
        with suppress(OSError):  # whoever asks lives on, whatever the disk does
            tried.unlink()


def worker_died(folder: Path, pid: int) -> None:
    """Forget what a worker process shared, but for what it has counted.

    What a disk does not let go of stays: the supervisor, which asks, lives on.
    """
    with suppress(OSError):
        (folder / f"ready-{pid}").unlink(missing_ok=True)
        for gauge in (folder / "metrics").glob(f"gauge_live*_{pid}.db"):
            gauge.unlink(missing_ok=True)
        for counts in (folder / "metrics").glob(f"*_{pid}.db"):
            _cut(counts)


def said_before(kind: str, text: str, *, silence_s: float = SILENCE_S) -> bool:
    """Whether a worker of this supervisor has said so lately: one that fails is started again.

    Args:
        silence_s: For how long it is not to be said again.
    """
    folder = _shared_folder()
    if folder is None:
        return False
    mark = folder / f"said-{kind}-{sha256(text.encode()).hexdigest()[:16]}"
    try:
        before = time.monotonic() - float(mark.read_text()) < silence_s
    except (OSError, ValueError):
        before = False
    if not before:
        with suppress(OSError):  # a full disk: said too often is better than not at all
            mark.write_text(str(time.monotonic()))
    return before


def forget_said(kind: str) -> None:
    """What was said is over: if it comes back, it is said again."""
    folder = _shared_folder()
    for mark in folder.glob(f"said-{kind}-*") if folder is not None else ():
        mark.unlink(missing_ok=True)


def _shared_folder() -> Path | None:
    """None where nobody made one: nothing is shared, neither counts nor what was said."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return Path(folder) if folder and (Path(folder) / "metrics").is_dir() else None


def _reserve(folder: Path) -> None:
    for kind, size in METRIC_FILES.items():
        file = folder / "metrics" / f"{kind}_{os.getpid()}.db"
        if file.exists():  # of one that has died: its counts go on, as those of any other do
            with file.open("r+b") as blocks:
                _take_blocks(blocks.fileno(), size)
            continue
        # Whoever is scraped meanwhile reads all that are there, and an empty one is an error.
        new = file.with_suffix(".new")
        try:
            with new.open("wb") as blocks:
                _take_blocks(blocks.fileno(), size)
            new.rename(file)
        except OSError:
            new.unlink(missing_ok=True)
            raise


def _take_blocks(file: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:  # macOS: blocks come with what is written
        begin = os.fstat(file).st_size
        os.pwrite(file, bytes(max(0, size - begin)), begin)


def _cut(file: Path) -> None:
    """Leave what is read of it: its first four bytes say how much that is."""
    with suppress(OSError), file.open("r+b") as counts:
        used = int.from_bytes(counts.read(4), sys.byteorder)
        if 0 < used < os.fstat(counts.fileno()).st_size:
            counts.truncate(used)


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


def _make_locked_folder() -> Path:
    while True:
        # Below /tmp and short: a unix socket's path may have 104 characters on macOS.
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        if _lock(folder):
            return folder


def _lock(folder: Path) -> bool:
    """False: somebody who cleaned up had it before us, and took it for abandoned."""
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not os.fstat(lock).st_nlink:
        os.close(lock)
        return False
    _unlock(folder)  # what was there before
    _locks[folder] = [lock]
    with suppress(OSError):  # a file system without it
        # What is in a folder that somebody has locked systemd-tmpfiles leaves there, however old it
        # is (tmpfiles.d(5)): elsewhere counts of the dead, and this folder, would go after 10 days.
        whole = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        _locks[folder].append(whole)
        fcntl.flock(whole, fcntl.LOCK_SH)
    return True


def _unlock(folder: Path) -> None:
    for lock in _locks.pop(folder, ()):
        os.close(lock)


def _remove_abandoned_folders() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if not is_ours(folder):
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


def is_ours(folder: Path) -> bool:
    """Whether nobody else can have put a file there: in /tmp its name could be taken before us."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
