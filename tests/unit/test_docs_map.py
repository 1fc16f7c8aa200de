"""The map is the land: the picture of the folders and the way of a message, and the tree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.support.pages import DOCS, EVERY_PAGE, ROOT, blocks, name_of

GUIDE = DOCS / "guides" / "development.md"
STEPS = 6
NO_FOLDERS = {"__pycache__"}


# The picture


def pictured() -> dict[str, str]:
    """Every path of the picture, folders with a slash at the end, and the line beside it."""
    [picture] = blocks(GUIDE, "text")
    found, above = {}, [""]
    for line in picture.splitlines():
        match = re.fullmatch(r"( *)(\S+) +(\S.*)", line)
        assert match, line
        indent, name, says = match.groups()
        depth = len(indent) // 2
        assert depth < len(above), f"{line!r} stands below nothing"
        found[above[depth] + name] = says
        del above[depth + 1 :]
        if name.endswith("/"):
            above.append(above[depth] + name)
    return found


def test_everything_in_the_picture_is_there() -> None:
    paths = {path: ROOT / path for path in pictured()}

    assert not {p for p, at in paths.items() if not (at.is_dir() if p[-1] == "/" else at.is_file())}


def test_the_picture_lacks_no_folder_of_the_package() -> None:
    folders = {
        f"{folder.relative_to(ROOT)}/"
        for folder in (ROOT / "gateway").rglob("*")
        if folder.is_dir() and folder.name not in NO_FOLDERS
    }

    assert not folders - pictured().keys()


def test_the_picture_lacks_nothing_that_lies_flat() -> None:
    flat = {f"gateway/{file.name}" for file in (ROOT / "gateway").glob("*.py")}

    assert not flat - {"gateway/__init__.py"} - pictured().keys()


def test_the_picture_is_in_the_order_of_the_layers() -> None:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [contract] = [c for c in linter["contracts"] if c["name"] == "imports point down"]
    layers = [name.split(".")[1] for layer in contract["layers"] for name in layer.split(" | ")]
    folders = [found[1] for path in pictured() if (found := re.fullmatch(r"gateway/(\w+)/", path))]

    assert folders == [name for name in layers if (ROOT / "gateway" / name).is_dir()]


# The way of a message


def steps() -> list[str]:
    section = GUIDE.read_text().partition("## The way of a message\n")[2].partition("\n## ")[0]
    return re.findall(r"^\d+\. (.*(?:\n   .*)*)", section, re.MULTILINE)


def files_in(text: str) -> list[str]:
    return re.findall(r"`(gateway/[\w/]+\.\w+)`", text)


def test_a_message_passes_six_steps() -> None:
    assert len(steps()) == STEPS


@pytest.mark.parametrize("number", range(STEPS))
def test_the_files_of_a_step_are_there(number: int) -> None:
    files = files_in(steps()[number])

    assert files
    assert not [file for file in files if not (ROOT / file).is_file()]


# Any page


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name_of)
def test_every_path_that_is_named_is_there(page: Path) -> None:
    folders = "gateway|tests|docs|loadtest|benchmarks|deploy|scripts|examples"
    named = re.findall(rf"`((?:{folders})/[\w./-]*)`", page.read_text())

    assert not [path for path in named if not (ROOT / path).exists()]
