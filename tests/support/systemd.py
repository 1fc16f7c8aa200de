"""A systemd that is process 1 of namespaces of its own, and knows the units of one folder alone."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final

import psutil

from tests.support.serve import ROOT
from tests.support.waiting import blocking_eventually

SYSTEMD: Final = Path("/lib/systemd/systemd")
UNSHARE: Final = ("unshare", "--pid", "--mount", "--fork", "--uts", "--ipc", "--cgroup")
CGROUPS: Final = Path("/sys/fs/cgroup")
OWN_CGROUPS: Final = ("init.scope", "system.slice")  # what systemd makes below the root
BOOTED: Final = Path("/run/systemd/system")  # sd_booted(3)
LOCK: Final = Path(tempfile.gettempdir()) / "gateway-tests-systemd.lock"
SERVED: Final = Path("/srv")  # what services see of this machine's Python and of the tree
TARGETS: Final = (
    "default", "basic", "sysinit", "sockets", "multi-user", "shutdown", "umount", "final", "exit",
    "timers", "paths", "slices", "network-online", "local-fs",
)  # fmt: skip
START: Final = f"""
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/systemd/system
mount -t proc proc /proc
mount --bind "$1" {SERVED}
mount --bind "$2" {SERVED}/python
mount --bind "$3" {SERVED}/packages
mount --bind "$4" {SERVED}/tree
exec env -i container=unshare PATH="$PATH" SYSTEMD_UNIT_PATH={SERVED}/units \
    SYSTEMD_LOG_TARGET=console {SYSTEMD} --system --unit=default.target --show-status=0
"""


def lacking() -> str | None:
    """What of this machine's capabilities is missing to run one; None: nothing."""
    if not SYSTEMD.exists() or shutil.which("systemctl") is None:
        return "no systemd: apt-get install systemd"
    if BOOTED.is_dir():
        return "control groups of its own: this machine's are those of the systemd that runs it"
    if shutil.which("nsenter") is None:
        return "no nsenter: apt-get install util-linux"
    tried = subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/run"], check=False,
                           capture_output=True)  # fmt: skip
    if tried.returncode != 0:
        return "no privilege to make PID and mount namespaces (CAP_SYS_ADMIN)"
    if not any(os.access(each, os.W_OK) for each in _hierarchies()):
        return "no control group that can be written to"
    return None


class Systemd:
    """A context manager that leaves no process and no control group behind.

    Args:
        folder: Its units are in ``units``; services see all of it in ``/srv``, with Python and the
            tree beside.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.log_file = folder.parent / "systemd.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._lock = LOCK.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)  # two would take each other's control groups
        self._new = [
            cgroup
            for each in _hierarchies()
            for name in OWN_CGROUPS
            if not (cgroup := each / name).exists()
        ]

    def __enter__(self) -> Systemd:
        for name in ("python", "packages", "tree", "units"):
            (self._folder / name).mkdir(exist_ok=True)
        for target in TARGETS:
            unit = self._folder / "units" / f"{target}.target"
            unit.write_text(f"[Unit]\nDescription={target}\n")
        self._folder.chmod(0o755)
        seen = (str(self._folder), sys.base_prefix, sysconfig.get_path("purelib"), str(ROOT))
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [*UNSHARE, "--kill-child", "sh", "-c", START, "sh", *seen],
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            blocking_eventually(self._is_running, "a systemd that runs", 15)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.kill()  # and with it process 1, and with that all of its namespace
        self._process.wait()
        try:
            blocking_eventually(self._cgroups_gone, "the end of its control groups", 10)
        finally:
            self._lock.close()

    def ctl(self, *arguments: str) -> str:
        """What ``systemctl`` says; it must end well."""
        done = self._run("systemctl", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr + self.log_file.read_text()
        return done.stdout.strip()

    def shown(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.ctl("show", "--value", "--property", name, unit)

    def kill_main(self, unit: str) -> None:
        """SIGKILL to the process that a service is."""
        done = self._run("kill", "-KILL", self.shown(unit, "MainPID"))
        assert done.returncode == 0, done.stderr

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        within = ("nsenter", "--target", str(self._pid), "--pid", "--mount")
        return subprocess.run(
            [*within, *command], capture_output=True, text=True, timeout=60, check=False
        )

    def _is_running(self) -> bool:
        assert self._process is not None
        children = psutil.Process(self._process.pid).children()
        if not children or "systemd" not in children[0].name():
            return False
        self._pid = children[0].pid
        return self._run("systemctl", "is-system-running").stdout.strip() == "running"

    def _cgroups_gone(self) -> bool:
        for top in self._new:
            for cgroup in sorted(top.rglob("*/"), reverse=True):
                if cgroup.is_dir():
                    _remove(cgroup)
            _remove(top)
        return not any(top.exists() for top in self._new)


def _remove(cgroup: Path) -> None:
    try:
        cgroup.rmdir()
    except OSError:  # somebody in it has not ended yet, or it is gone
        return


def _hierarchies() -> list[Path]:
    """Of version 1 several, of version 2 one."""
    return (
        [CGROUPS, *(each for each in CGROUPS.iterdir() if each.is_dir())]
        if (CGROUPS / "systemd").is_dir()
        else [CGROUPS]
    )
