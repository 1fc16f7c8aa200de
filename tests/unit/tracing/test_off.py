"""Off: nothing of OpenTelemetry is imported, and each part is of the class that does not ask."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

from gateway.channels.publisher import Publisher
from gateway.errors import ConfigError
from gateway.handlers.dispatcher import Dispatcher
from gateway.handlers.invocation import Invocation
from gateway.process.serve import check
from gateway.settings.config import Settings
from gateway.tracing import installed
from gateway.tracing.variants import PLAIN, variants_of
from tests.support.ids import new_worker_id


def test_a_worker_is_made_without_the_extra_and_imports_nothing_of_it() -> None:
    """Installed, redis-py imports a part of it for itself."""
    script = (
        "import sys\n"
        "sys.modules['opentelemetry'] = None\n"
        "import gateway.app, gateway.asgi, gateway.process.serve, gateway.worker.worker\n"
        "from gateway.tracing.variants import variants_of\n"
        "variants_of('a' * 16, opentelemetry=False)\n"
        "imported = {name for name in sys.modules if name.startswith('gateway.tracing.')}\n"
        "known = {'variants', 'installed', 'environment'}\n"
        "assert imported == {f'gateway.tracing.{name}' for name in known}, imported\n"
    )

    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


def test_each_part_is_of_its_plain_class() -> None:
    variants = variants_of(new_worker_id(), opentelemetry=False)

    assert variants is PLAIN
    assert variants.dispatcher is Dispatcher
    assert variants.invocation is Invocation
    assert variants.publisher is Publisher
    assert not variants.traces


@pytest.mark.parametrize("lacking", ["opentelemetry", "opentelemetry.sdk"])
def test_on_without_the_extra_is_told_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    def found(name: str) -> object:
        return None if name == lacking else find_spec(name)

    monkeypatch.setattr(installed, "find_spec", found)
    told = r"pip install 'starlette-gateway\[opentelemetry\]'"

    with pytest.raises(ConfigError, match=told):
        check(Settings(opentelemetry=True))
    with pytest.raises(ConfigError, match=told):
        variants_of(new_worker_id(), opentelemetry=True)
    check(Settings())
