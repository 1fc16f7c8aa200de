"""The folder of one supervisor."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.process.run_folder import (
    METRIC_FILES,
    check_room,
    forget_said,
    make_run_folder,
    remove_run_folder,
    reserve_metrics,
    restore_run_folder,
    said_before,
    worker_died,
)
from tests.unit.process.conftest import mode

pytestmark = pytest.mark.usefixtures("runtime")


def folder_of_a_killed_supervisor() -> Path:
    program = "from gateway.process.run_folder import make_run_folder; print(make_run_folder())"
    environment = {**os.environ, "TMPDIR": tempfile.gettempdir()}
    made = subprocess.run(
        [sys.executable, "-c", program],
        env=environment, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    folder = Path(made.stdout.strip())
    assert folder.is_dir()
    return folder


# The folder of one supervisor


def test_a_run_folder_is_private_and_workers_are_pointed_to_it() -> None:
    folder = make_run_folder()

    assert mode(folder) == 0o700
    assert os.environ["GATEWAY_RUN_FOLDER"] == str(folder)
    assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(folder / "metrics")
    assert (folder / "metrics").is_dir()


def test_two_supervisors_have_two_folders() -> None:
    assert make_run_folder() != make_run_folder()


def test_a_run_folder_goes_with_all_that_is_in_it() -> None:
    folder = make_run_folder()
    (folder / "ready-1").touch()

    remove_run_folder(folder)
    remove_run_folder(folder)  # a second time is no error

    assert not folder.exists()


def test_of_a_dead_worker_only_its_counts_stay() -> None:
    folder = make_run_folder()
    kept = ["lock", "ready-12", "metrics/counter_1.db", "metrics/histogram_1.db"]
    kept += ["metrics/gauge_livesum_12.db", "metrics/gauge_livesum_21.db"]
    gone = ["ready-1", "metrics/gauge_livesum_1.db", "metrics/gauge_livemax_1.db"]
    for name in (*kept, *gone):
        (folder / name).touch()

    worker_died(folder, 1)
    worker_died(folder, 1)  # a second time is no error

    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    own = {f"metrics/{kind}_{os.getpid()}.db" for kind in METRIC_FILES}
    assert found == {*kept, *own}


def test_of_what_a_dead_worker_counted_no_more_is_kept_than_is_read() -> None:
    """Red when a worker that dies each second fills a disk with room that nobody needs."""
    folder = make_run_folder()
    dead = folder / "metrics" / "counter_1.db"
    dead.write_bytes((24).to_bytes(4, sys.byteorder) + bytes(1 << 16))
    untouched = folder / "metrics" / "histogram_1.db"
    untouched.write_bytes(bytes(64))

    worker_died(folder, 1)

    assert dead.stat().st_size == 24
    assert untouched.stat().st_size == 64


# Room for what is counted


def holes(folder: Path) -> list[str]:
    """The files that have fewer blocks than bytes."""
    files = (folder / "metrics").iterdir()
    return [f.name for f in files if f.stat().st_blocks * 512 < f.stat().st_size]


def test_what_is_counted_has_its_blocks_before() -> None:
    """Red with what prometheus_client makes: on a full disk the kernel ends who writes there."""
    folder = make_run_folder()
    pid = os.fork()
    if pid == 0:
        try:
            reserve_metrics()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)

    made = {path.name: path.stat().st_size for path in (folder / "metrics").iterdir()}
    both = (os.getpid(), pid)
    assert made == {f"{kind}_{one}.db": size for kind, size in METRIC_FILES.items() for one in both}
    assert not holes(folder)


def test_who_gets_the_number_of_a_dead_worker_goes_on_with_its_counts() -> None:
    """Red when it begins with files of its own: what the dead one counted would be gone."""
    folder = make_run_folder()
    counts = folder / "metrics" / f"counter_{os.getpid()}.db"
    before = (24).to_bytes(4, sys.byteorder) + b"what one has counted"
    with counts.open("r+b") as file:
        file.write(before)
    worker_died(folder, os.getpid())
    assert counts.read_bytes() == before

    reserve_metrics()

    assert counts.read_bytes().rstrip(b"\0") == before
    assert counts.stat().st_size == METRIC_FILES["counter"]


def test_a_disk_that_fails_while_room_is_looked_for_is_refused_and_ends_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Red when what is left there must go: the supervisor expects no other error."""
    make_run_folder()

    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("gateway.process.run_folder._take_blocks", fails)
    monkeypatch.setattr(Path, "unlink", fails)
    with pytest.raises(ConfigError, match="cannot write temporary files"):
        check_room(1)
    monkeypatch.undo()


def test_without_room_nothing_is_left_that_a_scrape_would_stumble_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = make_run_folder()
    before = sorted(folder.rglob("*"))
    monkeypatch.setattr("gateway.process.run_folder._take_blocks", full)

    with pytest.raises(ConfigError, match="No space left on device"):
        check_room(2)
    assert sorted(folder.rglob("*")) == before
    with pytest.raises(ConfigError, match="No space left on device"):
        reserve_metrics()
    kept = {*before} - {folder / "metrics" / f"counter_{os.getpid()}.db"}
    assert kept <= {*folder.rglob("*")} <= {*before}


def test_a_folder_that_was_made_anew_is_no_abandoned_one() -> None:
    folder = make_run_folder()
    assert not restore_run_folder(folder)
    shutil.rmtree(folder)

    assert restore_run_folder(folder)
    make_run_folder()
    assert (folder / "metrics").is_dir()


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_folder_that_somebody_else_put_there_is_not_taken(mode: int) -> None:
    folder = make_run_folder()
    shutil.rmtree(folder)
    folder.mkdir()
    folder.chmod(mode)

    with pytest.raises(FileExistsError):
        restore_run_folder(folder)


def test_a_disk_that_lets_go_of_nothing_ends_nobody_when_a_worker_has_died(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    folder = make_run_folder()
    monkeypatch.setattr(Path, "unlink", fails)
    worker_died(folder, 1)
    monkeypatch.undo()


def test_without_a_run_folder_nothing_is_reserved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nor in the folder where somebody happens to start: gunicorn with our class of workers alone,
    beside a folder of the application's that is called as ours.
    """
    monkeypatch.delenv("GATEWAY_RUN_FOLDER", raising=False)
    (tmp_path / "metrics").mkdir()
    monkeypatch.chdir(tmp_path)
    check_room(2)
    reserve_metrics()
    assert not list((tmp_path / "metrics").iterdir())
    monkeypatch.setenv("GATEWAY_RUN_FOLDER", "/nowhere")  # gone, or another's
    reserve_metrics()


@pytest.mark.parametrize("folder", [None, "", "/nowhere", "elsewhere"])
def test_in_what_is_no_run_folder_nothing_is_noted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str | None
) -> None:
    """Red where one function takes for a run folder what the others do not."""
    monkeypatch.chdir(tmp_path)
    before = {*tmp_path.rglob("*")}
    (tmp_path / "elsewhere").mkdir()
    if folder is None:
        monkeypatch.delenv("GATEWAY_RUN_FOLDER", raising=False)
    else:
        monkeypatch.setenv("GATEWAY_RUN_FOLDER", folder)
    (note := tmp_path / "elsewhere" / "said-load-mine").touch()

    assert [said_before("load", "no such module") for _ in range(2)] == [False, False]
    forget_said("load")
    check_room(2)
    reserve_metrics()

    assert {*tmp_path.rglob("*")} - before == {note.parent, note}


def test_the_folder_of_a_killed_supervisor_goes_when_the_next_one_starts() -> None:
    alive, killed = make_run_folder(), folder_of_a_killed_supervisor()
    (killed / "ready-1").touch()

    make_run_folder()

    assert not killed.exists()
    assert alive.is_dir()


def test_a_folder_stays_while_a_worker_of_its_killed_supervisor_lives() -> None:
    program = """if True:
        import os, sys
        from gateway.process.run_folder import make_run_folder
        folder = make_run_folder()
        if os.fork():
            os._exit(0)
        print(folder, flush=True)
        sys.stdin.read()
    """
    environment = {**os.environ, "TMPDIR": tempfile.gettempdir()}
    supervisor = subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with supervisor:  # at its end the worker's input is closed, and it goes
        assert supervisor.stdout is not None
        folder = Path(supervisor.stdout.readline().strip())
        supervisor.wait(timeout=30)

        make_run_folder()

        assert folder.is_dir()


def test_what_only_looks_like_a_run_folder_is_left_alone(tmp_path: Path) -> None:
    being_made, file = tmp_path / "gateway-being-made", tmp_path / "gateway-notes.txt"
    being_made.mkdir(mode=0o700)
    file.touch()

    make_run_folder()

    assert being_made.is_dir()
    assert file.exists()


def test_a_folder_taken_for_abandoned_while_it_was_made_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    locks = []

    def lock(descriptor: int, operation: int) -> None:
        locks.append(operation)
        if len(locks) == 1:  # somebody else cleaned up between the making and the locking
            (folder,) = Path(tempfile.gettempdir()).glob("gateway-*")
            shutil.rmtree(folder)
        flock(descriptor, operation)

    flock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", lock)

    folder = make_run_folder()

    assert locks == [fcntl.LOCK_EX, fcntl.LOCK_EX, fcntl.LOCK_SH]  # the last one of the folder
    assert (folder / "metrics").is_dir()


# What was said before


def test_what_a_full_disk_does_not_note_is_said_again() -> None:
    folder = make_run_folder()
    assert not said_before("load", "no such module")
    assert said_before("load", "no such module")
    [mark] = folder.glob("said-load-*")
    mark.unlink()
    mark.mkdir()  # what takes no text

    assert not said_before("load", "no such module")
    assert not said_before("load", "no such module")


# A read-only file system

# /proc takes no file from anybody, root included: as --read-only without a /tmp of its own.
WITHOUT_TMP = """
import sys, tempfile
tempfile._candidate_tempdir_list = lambda: ["/proc"]
"""
COMMAND = "sys.argv[0] = 'gateway'; from gateway.cli.main import main; main()"
UNDER_GUNICORN = "import gateway.gunicorn_conf"


def without_tmp(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    left_out = ("TMPDIR", "XDG_RUNTIME_DIR", "GATEWAY_", "PROMETHEUS_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TMP + program, *arguments],
        env=environment, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("program", [COMMAND, UNDER_GUNICORN])
def test_without_a_place_for_temporary_files_a_start_is_refused_in_one_line(program: str) -> None:
    """A traceback of ``tempfile`` before."""
    done = without_tmp(program, "serve", "--port", "0")

    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("gateway: cannot write temporary files to /tmp (")
    assert "--tmpfs /tmp" in line


def test_without_a_place_for_temporary_files_no_gateway_runs_here() -> None:
    done = without_tmp(COMMAND, "workers")

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no gateway of this user runs here" in done.stderr


def test_a_full_place_for_temporary_files_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "mkdtemp", full)

    with pytest.raises(ConfigError, match="No space left on device"):
        make_run_folder()
