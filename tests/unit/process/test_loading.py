"""MODULE:ATTRIBUTE: found, wrapped, or told in one line why not."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from gateway import Gateway
from gateway.app import create_app
from gateway.errors import ConfigError
from gateway.process.loading import load_gateway
from gateway.settings.config import Settings

serial = itertools.count()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes a module into the current folder and returns its name, which is new."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names: list[str] = []

    def write(text: str) -> str:
        name = f"application_{next(serial)}"
        (tmp_path / f"{name}.py").write_text(text)
        names.append(name)
        return name

    yield write
    for name in names:
        sys.modules.pop(name, None)


def wrapped(gateway: Gateway) -> ASGIApp:
    return create_app(gateway, Settings())


def complaint(name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_gateway(name, wrapped)
    return str(caught.value)


def test_a_gateway_of_the_current_folder_is_wrapped(module: Callable[[str], str]) -> None:
    name = module("from gateway import Gateway\nmine = Gateway()\n")
    seen: list[Gateway] = []

    def wrap(gateway: Gateway) -> ASGIApp:
        seen.append(gateway)
        return wrapped(gateway)

    load_gateway(f"{name}:mine", wrap)

    assert seen == [sys.modules[name].mine]


def test_any_other_application_is_taken_as_it_is(module: Callable[[str], str]) -> None:
    name = module("async def app(scope, receive, send): ...\n")

    assert load_gateway(f"{name}:app", wrapped) is sys.modules[name].app


def test_without_a_name_it_is_the_echo() -> None:
    seen: list[Gateway] = []

    def wrap(gateway: Gateway) -> ASGIApp:
        seen.append(gateway)
        return wrapped(gateway)

    load_gateway("", wrap)

    assert seen[0].handlers.on_message is not None


def test_the_current_folder_is_looked_in_first(module: Callable[[str], str]) -> None:
    name = module("async def app(scope, receive, send): ...\n")

    load_gateway(f"{name}:app", wrapped)
    load_gateway(f"{name}:app", wrapped)

    assert sys.path[0] == str(Path.cwd())
    assert sys.path.count(str(Path.cwd())) == 1


@pytest.mark.parametrize("name", ["module", "module:", ":attribute", ":"])
def test_another_form_is_told_the_right_one(name: str) -> None:
    assert complaint(name) == f"application {name!r} is not of the form MODULE:ATTRIBUTE"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("app = None", "there is no such attribute"),
        ("other = 1", "there is no such attribute"),
        ("app = 1", "it is no Gateway and not callable"),
    ],
)
def test_an_attribute_that_is_no_application_is_one_line(
    module: Callable[[str], str], text: str, said: str
) -> None:
    name = module(text)

    assert complaint(f"{name}:app") == f"application '{name}:app': {said}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nimport no_such_module_at_all", "ModuleNotFoundError: No module named"),
        ("\nraise ValueError('one\\ntwo')", "ValueError: one two"),
        ("\ndef broken(:", "SyntaxError: invalid syntax"),
        ("import sys\nsys.exit(3)", "SystemExit: 3"),
        ("import json\njson.loads('{')", "JSONDecodeError: Expecting property name"),
        ("from gateway import Admit\nAdmit(7)", "TypeError: user is int, not str or None"),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_line_that_names_the_place(
    module: Callable[[str], str], text: str, said: str, tmp_path: Path
) -> None:
    """Red when nobody knows which of their files it was, or the place is one of a library's."""
    name = module(text)

    message = complaint(f"{name}:app")

    assert message.startswith(f"application '{name}:app': {said}")
    assert message.endswith(f" ({tmp_path / name}.py:2)")
    assert "\n" not in message


def test_a_handler_that_could_never_run_is_refused_at_the_start_in_one_line(
    module: Callable[[str], str], tmp_path: Path
) -> None:
    name = module(
        "from gateway import Gateway\napp = Gateway()\n"
        "@app.on_message\nasync def hello(): return 'hello'\n"
    )

    assert complaint(f"{name}:app") == (
        f"application '{name}:app': TypeError: hello ({tmp_path / name}.py:3) must take one "
        "argument to be an on_message handler, as `async def f(message)` does; it has ()"
    )


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("on_mesage", "; did you mean on_message?"),
        ("onPublish", "; did you mean on_publish?"),
        ("zzz", ""),
    ],
)
def test_a_hook_that_is_misspelt_is_told_with_the_one_that_was_meant(
    module: Callable[[str], str], tmp_path: Path, asked: str, hint: str
) -> None:
    name = module(f"from gateway import Gateway\napp = Gateway()\napp.{asked}\n")

    assert complaint(f"{name}:app") == (
        f"application '{name}:app': AttributeError: 'Gateway' object has no attribute "
        f"'{asked}'{hint} ({tmp_path / name}.py:3)"
    )


def test_a_module_that_is_not_there_is_one_line() -> None:
    message = complaint("no_such_module_at_all:app")

    assert message == (
        "application 'no_such_module_at_all:app': "
        "ModuleNotFoundError: No module named 'no_such_module_at_all'"
    )


def test_a_handler_is_told_apart_from_an_asgi_application(module: Callable[[str], str]) -> None:
    name = module("async def echo(connection, message): ...\n")

    assert complaint(f"{name}:echo") == (
        f"application '{name}:echo': it does not take scope, receive and send, so it is no ASGI "
        "application; a handler is served by the Gateway it belongs to: name that"
    )


@pytest.mark.parametrize("takes", ["scope, receive, send", "*anything", "a, b, c, d=1"])
def test_a_function_that_takes_what_asgi_gives_is_served(
    module: Callable[[str], str], takes: str
) -> None:
    name = module(f"async def app({takes}): ...\n")

    assert callable(load_gateway(f"{name}:app", wrapped))
