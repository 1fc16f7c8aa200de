"""``gateway`` whose supervisor takes a worker for hung after seconds, not after half a minute."""

from __future__ import annotations

from typing import Any

from gunicorn.config import Config

SILENT_WORKER_S = 4

_set = Config.set


def _impatient(config: Config, name: str, value: Any) -> None:
    _set(config, name, SILENT_WORKER_S if name == "timeout" else value)


# Not in ``gateway.process.supervisor``: that may be imported only once the run folder is there.
Config.set = _impatient

from gateway.cli.main import main  # noqa: E402

if __name__ == "__main__":
    main()
