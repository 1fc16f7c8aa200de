"""The files that tell tools of this user which gateways run, and where their broker is."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from gateway.errors import ConfigError
from gateway.process.run_folder import is_ours
from gateway.protocol.deadlines import LEASE_S


@dataclass(frozen=True, slots=True)
class RunFile:
    """What a running ``gateway serve`` says of itself, readable by its owner only."""

    pid: int
    port: int
    redis_url: str
    redis_prefix: str
    lease_seconds: float = LEASE_S
    folder: str = ""  # where it was started; not known of another release


def write_run_file(run: RunFile) -> Path:
    """Tell tools of this user where the broker of a running gateway is.

    Raises:
        ConfigError: The folder for it cannot be made, or is not only ours.
    """
    folder = _run_files_folder()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if not is_ours(folder):
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
    if not is_ours(folder):
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


def the_running_gateway(
    *,
    port: int | None = None,
    folder: Path | None = None,
    rather_in: Path | None = None,
    otherwise: str,
) -> RunFile:
    """The one that is meant, never a guess.

    Args:
        port: It listens there.
        folder: It was started there.
        rather_in: Of several, it is one that was started there, if any was.
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
    found = [run for run in found if run.folder == str(rather_in)] or found
    if len({(run.redis_url, run.redis_prefix) for run in found}) > 1:
        raise ConfigError(f"several gateways run here ({_ports(found)}): {otherwise}")
    return found[0]


def _ports(running: list[RunFile]) -> str:
    numbers = ", ".join(str(run.port) for run in running)
    return f"port {numbers}" if len(running) == 1 else f"ports {numbers}"


def _run_files_folder() -> Path:
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and Path(base).is_dir():  # under sudo or in a container it may name what is not there
        return Path(base) / "gateway"
    return Path(tempfile.gettempdir()) / f"gateway-run-{os.getuid()}"
