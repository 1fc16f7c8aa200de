"""What is refused before any worker is started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.process.start_checks import check_loadable

# pytest-timeout has a thread; from 3.12 on Python warns of any fork beside one. The child here only
# imports, says how it went, and ends.
forks = pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An application in the current folder, which fails at import until it is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "supervised.py").write_text("1 / 0")
    yield "supervised"
    sys.modules.pop("supervised", None)


@forks
def test_code_that_can_be_loaded_is_not_imported_here(tmp_path: Path, module: str) -> None:
    (tmp_path / "supervised.py").write_text("from gateway import Gateway\ngateway = Gateway()\n")

    check_loadable(f"{module}:gateway")

    assert module not in sys.modules


@forks
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt at import"),
        ("", "no such attribute"),
        ("import os; os._exit(0)", "its import ended the process with status 0"),
        ("import os; os.kill(os.getpid(), 9)", "its import ended the process by SIGKILL"),
    ],
)
def test_code_that_cannot_be_loaded_is_told_with_the_reason(
    tmp_path: Path, module: str, text: str, reason: str
) -> None:
    (tmp_path / "supervised.py").write_text(text)

    with pytest.raises(ConfigError, match=f"'{module}:gateway'.*{reason}"):
        check_loadable(f"{module}:gateway")


@forks
def test_what_an_import_leaves_running_holds_up_no_start(tmp_path: Path, module: str) -> None:
    """It has the pipe, on which nobody will say any more."""
    (tmp_path / "supervised.py").write_text(
        "import os, signal\nfrom gateway import Gateway\ngateway = Gateway()\n"
        "child = os.fork()\n"
        "if child == 0:\n    signal.pause()\n"
        "open('child', 'w').write(str(child))\n"
    )

    try:
        with ThreadPoolExecutor() as threads:
            checked = threads.submit(check_loadable, f"{module}:gateway")
            try:
                checked.result(10)
            finally:
                os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)
    finally:
        sys.modules.pop(module, None)


def test_the_default_application_needs_no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")

    check_loadable("")


def test_settings_are_checked_before_metrics_are_imported() -> None:
    """Where they go is known only afterwards (``gateway.process.run_folder``)."""
    code = (
        "import sys; from gateway.process.serve import check; from gateway.settings.config import "
        "Settings; check(Settings()); print('prometheus_client' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == "False\n"
