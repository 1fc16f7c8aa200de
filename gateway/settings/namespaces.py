"""What channels may do: options by namespace, under the names that Centrifugo has for them.

```toml
[channel.without_namespace]     # of channels whose name has no ":"
presence = true

[[channel.namespaces]]          # of "room:…"
name = "room"
history_size = 100
history_ttl = "300s"
```

Nothing is allowed, kept or told unless an option says so. docs/reference/channels.md lists them
all; a test compares.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from gateway.errors import ConfigError, UnknownChannel
from gateway.protocol import channel_names
from gateway.settings import values as value
from gateway.settings.values import Parser

MAX_HISTORY_SIZE: Final = 100_000
MAX_TTL: Final = timedelta(days=365)

_NAMESPACE: Final = re.compile(r"[-a-zA-Z0-9_.]{2,}")
_HISTORY: Final = ("history_size", "history_ttl")
_NEED_HISTORY: Final = (
    "allow_positioning", "force_positioning", "allow_recovery", "force_recovery"
)  # fmt: skip


def _option(default: Any, parser: Parser, allowed: str, meaning: str) -> Any:
    return field(
        default=default, metadata={"parser": parser, "allowed": allowed, "meaning": meaning}
    )


def _switch(meaning: str) -> Any:
    return _option(False, value.switch, "true, false", meaning)


def _ttl(default: timedelta, low: timedelta, allowed: str, meaning: str) -> Any:
    return _option(default, value.duration(low, MAX_TTL, allowed), allowed, meaning)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelOptions:
    """The options of one namespace, checked.

    An *anonymous* client is one without a user. What is allowed for clients is so for all that have
    a user, what is allowed for subscribers for those of them that have subscribed to the channel.
    What is allowed for anonymous ones is so where it is for others.
    """

    allow_subscribe_for_client: bool = _switch("Clients may subscribe.")
    allow_subscribe_for_anonymous: bool = _switch(
        "Anonymous clients may subscribe where others may."
    )
    allow_user_limited_channels: bool = _switch(
        "Who is named after the # of a channel may subscribe to it."
    )
    allow_publish_for_client: bool = _switch("Clients may publish.")
    allow_publish_for_subscriber: bool = _switch("Subscribers may publish.")
    allow_publish_for_anonymous: bool = _switch("Anonymous clients may publish where others may.")
    history_size: int = _option(
        0,
        value.number(int, 0, MAX_HISTORY_SIZE, f"0 to {MAX_HISTORY_SIZE} publications"),
        f"0 to {MAX_HISTORY_SIZE} publications",
        "How many of the newest publications are kept. 0: none.",
    )
    history_ttl: timedelta = _ttl(
        timedelta(),
        timedelta(),
        "0s to 8760h",
        "How long they are kept after the newest. 0s: there is no history.",
    )
    history_meta_ttl: timedelta = _ttl(
        timedelta(hours=720),
        timedelta(seconds=1),
        "1s to 8760h",
        "How long a silent channel keeps its epoch and offset.",
    )
    allow_history_for_client: bool = _switch("Clients may read the history.")
    allow_history_for_subscriber: bool = _switch("Subscribers may read the history.")
    allow_history_for_anonymous: bool = _switch(
        "Anonymous clients may read the history where others may."
    )
    allow_positioning: bool = _switch("A subscriber that asks for it is told of every gap.")
    force_positioning: bool = _switch("Every subscriber is told of every gap.")
    allow_recovery: bool = _switch("A subscriber that asks for it may recover what it has missed.")
    force_recovery: bool = _switch("Every subscriber may recover what it has missed.")
    presence: bool = _switch("Who has subscribed is known.")
    allow_presence_for_client: bool = _switch("Clients may ask who has subscribed.")
    allow_presence_for_subscriber: bool = _switch("Subscribers may ask who has subscribed.")
    allow_presence_for_anonymous: bool = _switch(
        "Anonymous clients may ask who has subscribed where others may."
    )
    join_leave: bool = _switch("It is told when somebody subscribes or goes.")
    force_push_join_leave: bool = _switch("It is told to every subscriber, not only to who asks.")

    @property
    def has_history(self) -> bool:
        return self.history_size > 0


@dataclass(frozen=True, slots=True)
class Namespaces:
    """The options of every namespace."""

    without_namespace: ChannelOptions = field(default_factory=ChannelOptions)
    named: Mapping[str, ChannelOptions] = field(default_factory=lambda: MappingProxyType({}))

    def options_of(self, channel: str) -> ChannelOptions:
        """The options of a channel.

        Raises:
            BadChannel: Nothing may be called that.
            UnknownChannel: Its name says a namespace that nobody has set up.
        """
        channel_names.check(channel)
        name = channel_names.namespace_of(channel)
        if not name and ":" not in channel:
            return self.without_namespace
        options = self.named.get(name)
        if options is None:
            raise UnknownChannel(f"there is no namespace {name!r}")
        return options

    def chosen(self) -> Iterator[tuple[str, str, object]]:
        """Every option that is not as it is by default: its place, its name and its value."""
        places = {f"channel.namespaces {name}": options for name, options in self.named.items()}
        for place, options in {
            "channel.without_namespace": self.without_namespace,
            **places,
        }.items():
            for spec in fields(ChannelOptions):
                if (found := getattr(options, spec.name)) != spec.default:
                    yield place, spec.name, found

    def as_json(self) -> str:
        """What is not as it is by default, as ``parse`` takes it."""
        named = [{"name": name, **_chosen(options)} for name, options in self.named.items()]
        return json.dumps({
            "without_namespace": _chosen(self.without_namespace), "namespaces": named
        })  # fmt: skip

    def __str__(self) -> str:
        return ",".join(self.named)


def _chosen(options: ChannelOptions) -> dict[str, object]:
    return {
        spec.name: f"{chosen.total_seconds():.0f}s" if isinstance(chosen, timedelta) else chosen
        for spec in fields(ChannelOptions)
        if (chosen := getattr(options, spec.name)) != spec.default
    }


def parse(name: str, raw: object) -> Namespaces:
    """The table ``[channel]`` of a TOML file, or the same as JSON in a variable.

    Raises:
        ConfigError: Names the place, the option, its value and what would be right.
    """
    table = _table(name, _from_json(name, raw) if isinstance(raw, str) else raw)
    _refuse_unknown(name, table, ("without_namespace", "namespaces"))
    place = f"{name}.without_namespace"
    without_namespace = _options(place, _table(place, table.get("without_namespace", {})))
    listed = table.get("namespaces", [])
    if not isinstance(listed, list):
        raise ConfigError(f"{name}.namespaces is not a list of tables: [[{name}.namespaces]]")
    named: dict[str, ChannelOptions] = {}
    for number, raw_namespace in enumerate(listed, start=1):
        place = f"{name}.namespaces number {number}"
        given = dict(_table(place, raw_namespace))
        namespace = _namespace_name(place, given)
        place = f"{name}.namespaces {namespace}"
        if namespace in named:
            raise ConfigError(f"{place}: there are two of that name")
        named[namespace] = _options(place, given)
    return Namespaces(without_namespace, MappingProxyType(named))


def _from_json(name: str, raw: str) -> object:
    try:
        return json.loads(raw) if raw else {}
    except ValueError as error:
        raise ConfigError(f"{name} is no JSON: {error}") from None


def _table(place: str, raw: object) -> Mapping[str, object]:
    if not isinstance(raw, dict):
        raise ConfigError(f"{place} is not a table")
    return raw


def _namespace_name(place: str, given: dict[str, object]) -> str:
    """Take the name out of a namespace's table."""
    if "name" not in given:
        raise ConfigError(f"{place}: it has no name")
    name = given.pop("name")
    if not isinstance(name, str) or not _NAMESPACE.fullmatch(name):
        raise ConfigError(f"{place}: name={name!r} is not two or more letters, digits, -, _ and .")
    return name


def _refuse_unknown(place: str, given: Collection[str], known: Collection[str]) -> None:
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigError(f"{place}: there is no option {key}{hint}")


def _options(place: str, given: Mapping[str, object]) -> ChannelOptions:
    specs = {spec.name: spec.metadata["parser"] for spec in fields(ChannelOptions)}
    _refuse_unknown(place, given, specs)
    options = ChannelOptions(
        **{key: specs[key](f"{place}: {key}", raw) for key, raw in given.items()}
    )
    _check_together(place, options)
    return options


def _check_together(place: str, options: ChannelOptions) -> None:
    """What one option needs of another."""
    if bool(options.history_size) != bool(options.history_ttl):
        there, lacking = _HISTORY if options.history_size else reversed(_HISTORY)
        raise ConfigError(f"{place}: {there} needs {lacking}")
    for name in _NEED_HISTORY:
        if getattr(options, name) and not options.has_history:
            raise ConfigError(f"{place}: {name} needs history_size and history_ttl")
    if options.history_ttl > options.history_meta_ttl:
        raise ConfigError(f"{place}: history_ttl is over history_meta_ttl")
    if options.force_push_join_leave and not options.join_leave:
        raise ConfigError(f"{place}: force_push_join_leave needs join_leave")
