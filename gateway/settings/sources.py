"""Where settings come from, each from the first of these that has it.

The command line, a ``GATEWAY_…`` variable, the TOML file, the default. They are read once.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from gateway.errors import ConfigError
from gateway.settings import credential_lists
from gateway.settings.config import PREFIX, Settings, toml_key, variable
from gateway.settings.values import Secret

CONFIG_VARIABLE: Final = "GATEWAY_CONFIG"
_OTHER_VARIABLES: Final = (CONFIG_VARIABLE, "GATEWAY_RUN_FOLDER", "GATEWAY_WORKER_ID")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where each of them came from."""

    settings: Settings
    sources: Mapping[str, str]


def load(
    environment: Mapping[str, str],
    *,
    flags: Mapping[str, object] | None = None,
    file: Path | None = None,
) -> Loaded:
    """Read every setting from where it is set.

    Args:
        environment: Usually ``os.environ``.
        flags: Settings given on the command line, by name; None is not given.
        file: A TOML file; None takes the one that ``GATEWAY_CONFIG`` names, if any.

    Raises:
        ConfigError: Names the setting, its value and what would be right.
    """
    if file is None and environment.get(CONFIG_VARIABLE):
        file = Path(environment[CONFIG_VARIABLE])
    from_file = _read_file(file) if file is not None else {}
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for spec in fields(Settings):
        name, parse = spec.name, spec.metadata["parser"]
        if name in given:
            shown, raw, source = "--" + name.replace("_", "-"), given[name], "flag"
        elif variable(name) in environment:
            shown, raw, source = variable(name), environment[variable(name)], variable(name)
        elif name in from_file:
            shown, raw, source = toml_key(name), from_file[name], str(file)
        else:
            sources[name] = "default"
            continue
        values[name] = parse(shown, raw)
        sources[name] = source
    _refuse_misspelt(environment)
    for setting, with_password in (
        ("redis_password_file", credential_lists.with_password),
        ("redis_sentinel_password_file", credential_lists.with_sentinel_password),
    ):
        if password_file := values.get(setting):
            password = credential_lists.password_of_file(variable(setting), password_file)
            url = values.get("redis_url", Secret(""))
            values["redis_url"] = Secret(
                with_password(variable(setting), url.reveal(), password), url.name
            )
    settings = Settings(**values)
    _check_together(settings)
    return Loaded(settings, sources)


def _check_together(settings: Settings) -> None:
    """What one setting needs of another."""
    namespace = settings.personal_namespace
    if namespace and namespace not in settings.channel.named:
        name = "subscribe_to_user_personal_channel_personal_channel_namespace"
        raise ConfigError(f"{toml_key(name)}={namespace}: there is no such namespace in channel")


# Left away by who knows what a setting is about and not what it is told in.
_ENDS: Final = ("_URL", "_FILE", "_SECONDS", "_BYTES", "_PER_SECOND")


def _refuse_misspelt(environment: Mapping[str, str]) -> None:
    """A variable that is nearly ours would be ignored in silence.

    Only nearly: Kubernetes sets others of its own for a service that is called gateway.
    """
    ours = [variable(spec.name) for spec in fields(Settings)]
    shortened = {
        name.removesuffix(end): name for name in ours for end in _ENDS if name.endswith(end)
    }
    for name in environment:
        if name.startswith(PREFIX) and name not in (*ours, *_OTHER_VARIABLES):
            close = difflib.get_close_matches(name, ours, n=1, cutoff=0.9)
            if name in shortened:
                close = [shortened[name]]
            if close:
                raise ConfigError(f"there is no {name}; did you mean {close[0]}?")


def _read_file(file: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from None
    names = {toml_key(spec.name): spec.name for spec in fields(Settings)}
    values: dict[str, Any] = {}
    for key, value in _leaves(content, names):
        if key not in names:
            close = difflib.get_close_matches(key, names, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigError(f"{file}: there is no setting {key}{hint}")
        values[names[key]] = value
    return values


def _leaves(
    table: Mapping[str, Any], names: Collection[str], place: str = ""
) -> Iterator[tuple[str, Any]]:
    """Each key with its value; of tables that are no setting themselves, what is in them."""
    for key, value in table.items():
        name = place + key
        inside = f"{name}."
        if isinstance(value, dict) and any(known.startswith(inside) for known in names):
            yield from _leaves(value, names, inside)
        else:
            yield name, value


_chosen: Settings | None = None


def choose(settings: Settings) -> None:
    """Make these the settings of this process and of those it forks (``gateway serve``)."""
    global _chosen  # noqa: PLW0603 (once, before anything runs)
    _chosen = settings


def current() -> Settings:
    """The settings of this process: the chosen ones, else those of its environment."""
    return _chosen if _chosen is not None else load(os.environ).settings
