"""Where settings come from: flags, the environment, a file."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.settings.config import Settings
from gateway.settings.sources import Loaded, load


def from_toml(folder: Path, text: str) -> Loaded:
    file = folder / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    return load({}, file=file)


def complaint(environment: dict[str, str], **how: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(environment, **how)
    return str(caught.value)


def test_a_flag_goes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("port = 1\nworkers = 1\nlease_seconds = 1\n")
    environment = {"GATEWAY_PORT": "2", "GATEWAY_WORKERS": "2"}

    loaded = load(environment, flags={"port": "3"}, file=file)

    assert (loaded.settings.port, loaded.settings.workers) == (3, 2)
    assert (loaded.settings.lease_seconds, loaded.settings.host) == (1.0, "127.0.0.1")


def test_every_setting_knows_its_source(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("workers = 2\n")

    sources = load({"GATEWAY_ROLE": "edge"}, flags={"port": "3"}, file=file).sources

    assert set(sources) == {spec.name for spec in fields(Settings)}
    assert sources["port"] == "flag"
    assert sources["role"] == "GATEWAY_ROLE"
    assert sources["workers"] == str(file)
    assert sources["host"] == "default"


def test_a_flag_that_is_not_given_hides_nothing() -> None:
    assert load({"GATEWAY_PORT": "2"}, flags={"port": None}).settings.port == 2


def test_a_bad_flag_is_named_as_it_was_typed() -> None:
    message = complaint({}, flags={"drain_seconds": "soon"})

    assert message == "--drain-seconds=soon is not a number: 0 to 3600 seconds"


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("port = 9\n")

    assert load({"GATEWAY_CONFIG": str(file)}).settings.port == 9


def test_a_file_that_is_given_goes_before_the_one_of_the_environment(tmp_path: Path) -> None:
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.write_text("port = 1\n")
    other.write_text("port = 2\n")

    assert load({"GATEWAY_CONFIG": str(one)}, file=other).settings.port == 2


# The file


def test_a_file_may_use_the_types_of_toml(tmp_path: Path) -> None:
    settings = from_toml(
        tmp_path, 'port = 1\ntrace = true\nstall_seconds = 2\nallowed_hosts = ["a", "b"]\n'
    ).settings

    assert (settings.port, settings.trace, settings.stall_seconds) == (1, True, 2.0)
    assert settings.allowed_hosts == ("a", "b")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("port = 80.9", "port=80.9 is not a whole number: 0 to 65535 (0: any free port)"),
        ("port = true", "port=True is not a whole number: 0 to 65535 (0: any free port)"),
        ("port = inf", "port=inf is not a whole number: 0 to 65535 (0: any free port)"),
        (f"stall_seconds = 1{'0' * 400}", "is not a number: 0.1 to 300 seconds"),
        ("workers = []", "workers=[] is not a whole number: 1 to 256 processes"),
        ("host = 1", "host=1 is not a text"),
        ("role = 1", "role=1 is not one of both, edge, handler"),
        ("trace = 2", "trace=2 is neither on (true) nor off (false)"),
        ("allowed_hosts = 1", "allowed_hosts=1 is not a list of texts"),
        ("allowed_hosts = [1]", "allowed_hosts=[1] is not a list of texts"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_toml(tmp_path, line)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("key", "hint"),
    [("redis-url", "; did you mean redis_url?"), ("worker", "; did you mean workers?"), ("q", "")],
)
def test_an_unknown_key_is_refused_with_what_may_have_been_meant(
    tmp_path: Path, key: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        from_toml(tmp_path, f"{key} = 1")

    assert str(caught.value) == f"{tmp_path / 'gateway.toml'}: there is no setting {key}{hint}"


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "none.toml"

    assert complaint({}, file=file) == f"{file}: No such file or directory"


@pytest.mark.parametrize("content", [b"port = ", b"host = '\xff'"])
def test_a_file_that_is_no_toml_is_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "gateway.toml"
    file.write_bytes(content)

    message = complaint({}, file=file)

    assert message.startswith(f"{file}: ")
    assert "\n" not in message


def test_a_secret_of_the_wrong_type_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^redis_url=\*\*\* is not a text$"):
        from_toml(tmp_path, 'redis_url = ["redis://:hidden@host"]')


def test_a_file_may_list_api_keys(tmp_path: Path) -> None:
    settings = from_toml(tmp_path, 'api_keys = ["one", "two"]').settings

    assert settings.api_keys.reveal() == "one,two"


@pytest.mark.parametrize("value", ["1", "[1]", '{ id = "hidden" }'])
@pytest.mark.parametrize("name", ["api_keys", "aws_access_keys"])
def test_a_list_of_secrets_of_the_wrong_type_is_not_shown(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^{name}=\*\*\* is not a list of texts$"):
        from_toml(tmp_path, f"{name} = {value}")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("GATEWAY_DRAIN_SECOND", "GATEWAY_DRAIN_SECONDS"),
        ("GATEWAY_MESSAGE_BYTE", "GATEWAY_MESSAGE_BYTES"),
        ("GATEWAY_LOGLEVEL", "GATEWAY_LOG_LEVEL"),
        ("GATEWAY_REDIS", "GATEWAY_REDIS_URL"),
        ("GATEWAY_REDIS_PASSWORD", "GATEWAY_REDIS_PASSWORD_FILE"),
        ("GATEWAY_LEASE", "GATEWAY_LEASE_SECONDS"),
        ("GATEWAY_MESSAGES", "GATEWAY_MESSAGES_PER_SECOND"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_one_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"there is no {name}; did you mean {meant}"):
        load({name: "1"})


@pytest.mark.parametrize(
    "name",
    [
        "GATEWAY_SERVICE_HOST",
        "GATEWAY_SERVICE_PORT",
        "GATEWAY_PORT_8000_TCP_ADDR",
        "GATEWAY_CONFIG",
    ],
)
def test_variables_of_others_are_left_alone(name: str, tmp_path: Path) -> None:
    file = tmp_path / "empty.toml"
    file.touch()

    assert load({name: str(file)}).settings == Settings()
