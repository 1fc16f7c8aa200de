"""The kinds of envelopes that there are, by the tags that say on the wire which one it is."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Final, TypeVar

import msgspec

from gateway.protocol import envelopes

_kinds: Final[dict[int, type[Envelope]]] = {}
_Kind = TypeVar("_Kind", bound="type[Envelope]")


class Envelope(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One thing that a worker says. On the wire: its tag, then its fields, in order."""


def register(kind: _Kind) -> _Kind:
    """Make a kind one that every worker reads: a decorator, in a module of this package.

    Raises:
        TypeError: It has no number for a tag.
        ValueError: Its tag is another one's. Nor may it be one of a kind that is no more: workers
            of another release would read the one for the other.
    """
    tag = kind.__struct_config__.tag
    if not isinstance(tag, int):
        raise TypeError(f"{kind.__name__} has the tag {tag!r}, not a number")
    if tag in _kinds:
        raise ValueError(f"{kind.__name__} has the tag {tag}, which {_kinds[tag].__name__} has")
    _kinds[tag] = kind
    return kind


def all_kinds() -> dict[int, type[Envelope]]:
    """All kinds of all features, by tag: each module beside this one is imported for that."""
    for module in iter_modules(envelopes.__path__):
        import_module(f"{envelopes.__name__}.{module.name}")
    return dict(_kinds)
