"""What the pages name is there, where they lead is something, and their examples work."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.edge.sockets.socket import EXTENSION
from gateway.protocol.text_endpoint import TRACE_SUBPROTOCOL
from gateway.tracing import attributes
from tests.support.pages import DOCS, EVERY_PAGE, PAGES, ROOT, anchors, blocks, links, name_of

GUIDES = {  # and how many tests each has
    DOCS / "guides" / "writing-an-application.md": 6,
    DOCS / "guides" / "channels.md": 1,
}
MAKEFILE = (ROOT / "Makefile").read_text()


def names_in(page: Path) -> set[str]:
    """Dotted names of the package: `gateway.messaging.hub.Hub.get`."""
    text = page.read_text()
    return set(re.findall(r"(?<![\w./@=-])gateway(?:\.[A-Za-z_]\w*)+", text))


def resolves(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        module = ".".join(parts[:cut])
        try:
            if importlib.util.find_spec(module) is None:
                continue
        except ModuleNotFoundError:  # its parent is no package
            continue
        if cut == len(parts):
            return True  # without importing it: some modules do something when they are imported
        found: Any = importlib.import_module(module)
        return all((found := getattr(found, part, None)) is not None for part in parts[cut:])
    return False


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name_of)
def test_every_name_of_the_package_is_there(page: Path) -> None:
    of_an_application = {f"gateway.{name}" for name in dir(Gateway)}  # its own variable `gateway`
    on_the_wire = {EXTENSION, TRACE_SUBPROTOCOL}
    in_spans = {str(value) for value in vars(attributes).values()}
    files = {name for name in names_in(page) if name.rpartition(".")[2] in ("toml", "conf")}
    named = names_in(page) - of_an_application - on_the_wire - in_spans - files

    assert not {name for name in named if not resolves(name)}


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name_of)
def test_every_test_that_is_named_is_there(page: Path) -> None:
    for file, test in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", page.read_text()):
        source = ROOT / file
        assert source.is_file(), file
        assert not test or re.search(
            rf"^ *(async )?def {test}\(", source.read_text(), re.MULTILINE
        ), test


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_index_leads_to_every_page() -> None:
    index = DOCS / "README.md"
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in links(index)}

    assert {page for page in PAGES if page != index} <= linked


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name_of)
def test_every_make_target_that_is_named_is_there(page: Path) -> None:
    targets = {
        t for line in re.findall(r"^([a-z0-9 ]+):", MAKEFILE, re.MULTILINE) for t in line.split()
    }

    assert set(re.findall(r"\bmake ([a-z0-9]+)`", page.read_text())) <= targets


def test_decisions_are_numbered_in_order() -> None:
    numbers = [int(page.name[:4]) for page in PAGES if page.parent.name == "adr"]

    assert numbers == list(range(1, len(numbers) + 1))


# Examples


def modules(page: Path) -> dict[str, str]:
    """The Python blocks of a page that begin with the name of a file."""
    named = [re.match(r"# (\w+)\.py\n", block) for block in blocks(page, "python")]
    return {found[1]: found.string for found in named if found}


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name_of)
def test_every_python_example_runs(page: Path) -> None:
    for block in blocks(page, "python"):
        code = compile(block, f"{page.name}: {block[:40]!r}", "exec")
        if not block.startswith("# test_"):
            exec(code, {"__name__": "example"})


@pytest.mark.parametrize("guide", GUIDES, ids=name_of)
def test_the_tests_of_the_guides_pass(guide: Path, tmp_path: Path) -> None:
    """With pytest, as a reader would."""
    for name, text in modules(guide).items():
        (tmp_path / f"{name}.py").write_text(text)
    only_asyncio = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}  # starts faster
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "pytest_asyncio.plugin", "-o", "asyncio_mode=auto"],
        cwd=tmp_path, env=os.environ | only_asyncio, timeout=60,
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert run.returncode == 0, run.stdout
    assert f"{GUIDES[guide]} passed" in run.stdout


@pytest.mark.parametrize("page", [*EVERY_PAGE, ROOT / "CHANGELOG.md"], ids=name_of)
def test_no_line_goes_on_where_a_sentence_has_ended(page: Path) -> None:
    """Left behind where two changes of one sentence met: one is whole, the other has no head."""
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)

    assert not re.findall(r"(?<=\.)\n *[a-z].*", prose)
