"""``gateway config``."""

from __future__ import annotations

import sys
from dataclasses import fields

from gateway.cli.options import ConfigFile, load_settings
from gateway.cli.printing import shown
from gateway.settings.config import Settings


def show_config(config: ConfigFile = None) -> None:
    """Print every effective setting and where it comes from, or what is wrong with one."""
    from gateway.process.serve import check  # noqa: PLC0415
    from gateway.tracing.environment import effective  # noqa: PLC0415
    from gateway.worker.handshake_limits import remark  # noqa: PLC0415

    loaded = load_settings({}, config)
    check(loaded.settings)
    for spec in fields(Settings):
        value = getattr(loaded.settings, spec.name)
        print(f"{spec.name:<28} {shown(value):<24} {loaded.sources[spec.name]}")
    for place, option, value in loaded.settings.channel.chosen():
        print(f"{place}: {option}={shown(value)}")
    for name, value, source in effective() if loaded.settings.opentelemetry else ():
        print(f"{name:<28} {value:<24} {source}")
    if said := remark(loaded.settings):
        print(f"gateway: {said}", file=sys.stderr)
