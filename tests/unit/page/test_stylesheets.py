"""What both pages look like alike is said once, in ``base.css``, which both load first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from itertools import combinations
from typing import Final

import pytest

_SHEETS: Final = {
    "base": files("gateway.page").joinpath("base.css"),
    "page": files("gateway.page").joinpath("page.css"),
    "admin": files("gateway.admin_page").joinpath("admin.css"),
}
_RULE: Final = re.compile(r"([^{}]+)\{([^{}]*)\}")
_MEDIA: Final = re.compile(r"@media ([^{]+)\{((?:[^{}]+\{[^{}]*\})+)\s*\}")


def said_by(css: str) -> Iterator[tuple[str, str, str]]:
    """Each declaration with what it is for: the medium, one selector, the declaration."""
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    media = [(medium.strip(), rules) for medium, rules in _MEDIA.findall(css)]
    for medium, rules in [("", _MEDIA.sub("", css)), *media]:
        for selectors, declarations in _RULE.findall(rules):
            for declaration in filter(None, map(str.strip, declarations.split(";"))):
                for selector in selectors.split(","):
                    yield medium, selector.strip(), declaration


def names_set(css: str) -> set[str]:
    return set(re.findall(r"(--[\w-]+):", css))


@pytest.mark.parametrize(("one", "other"), list(combinations(_SHEETS, 2)))
def test_nothing_is_said_twice(one: str, other: str) -> None:
    sheets = [_SHEETS[name].read_text() for name in (one, other)]
    said = [set(said_by(css)) for css in sheets]

    assert all(said)
    assert said[0] & said[1] == set()
    assert names_set(sheets[0]) & names_set(sheets[1]) == set()


@pytest.mark.parametrize("package", ["gateway.page", "gateway.admin_page"])
def test_what_is_shared_is_loaded_first(package: str) -> None:
    html = files(package).joinpath("index.html").read_text()
    first, _ = re.findall(r'rel="stylesheet" href="(.*?)"', html)

    assert first == "base.css"
