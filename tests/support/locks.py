"""Whether a lock file lists everything that what it lists asks for, extras included.

Nothing is installed or asked of an index: the answer is in the metadata of an environment into
which the lock was installed, read once for each version of Python that is supported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_PIN = re.compile(r"^([\w.-]+)(?:\[[\w,.-]+\])?==([^\s;]+)(?:\s*;\s*([^\\\n]+))?", re.MULTILINE)

Environment = dict[str, str]


def environment(python: str) -> Environment:
    """The markers of this machine under another Python, as ``3.13``."""
    here: Mapping[str, str] = {k: str(v) for k, v in default_environment().items()}
    return {
        **here,
        "python_version": python,
        "python_full_version": f"{python}.9",
        "implementation_version": f"{python}.9",
    }


def pins(lock: str, markers: Environment) -> dict[str, str]:
    """Name -> version of what the text of a lock installs there."""
    found: dict[str, str] = {}
    for name, version, condition in _PIN.findall(lock):
        if not condition or Requirement(f"{name}; {condition}").marker.evaluate(markers):  # type: ignore[union-attr] # it has one
            found[canonicalize_name(name)] = version
    return found


def missing(
    wanted: Iterable[str],
    pinned: Mapping[str, str],
    metadata: Mapping[str, list[str]],
    markers: Environment,
) -> list[str]:
    """What ``wanted`` needs, however far down, and the pins do not give: one line each.

    Args:
        wanted: Requirements, as in ``[project] dependencies``.
        pinned: What the lock installs.
        metadata: Name -> the requirements that a distribution states (``Requires-Dist``).
    """  # fmt: skip
    lines: set[str] = set()
    seen: set[tuple[str, str]] = set()
    waiting = [("the project", Requirement(text), "") for text in wanted]
    while waiting:
        asker, requirement, extra = waiting.pop()
        marker = requirement.marker
        if marker is not None and not marker.evaluate({**markers, "extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        version = pinned.get(name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            lines.add(f"{asker} needs {requirement}; the lock has {version or 'none'}")
            continue
        if name not in metadata:
            lines.add(f"{name} is pinned and not installed: its needs are not known")
        for wish in ("", *requirement.extras):
            if (name, wish) not in seen:
                seen.add((name, wish))
                waiting += [(name, Requirement(text), wish) for text in metadata.get(name, [])]
    return sorted(lines)


def metadata_in(site_packages: Path) -> dict[str, list[str]]:
    """The requirements of every distribution that is installed there."""
    return {
        canonicalize_name(found.metadata["Name"]): list(found.requires or [])
        for found in Distribution.discover(path=[str(site_packages)])
    }


def site_packages(venv: Path) -> Path:
    [found] = venv.glob("lib/python3*/site-packages")
    return found


def grouped(groups: Mapping[str, list[str | dict[str, str]]], name: str) -> Iterator[str]:
    """The requirements of a dependency group (PEP 735), with those it includes."""
    for item in groups[name]:
        if isinstance(item, str):
            yield item
        else:
            yield from grouped(groups, item["include-group"])
