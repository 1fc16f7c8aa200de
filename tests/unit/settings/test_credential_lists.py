"""How credentials are written: in a setting, or in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.redis_support.url import parse
from gateway.settings.credential_lists import (
    access_keys,
    api_keys,
    api_keys_of_file,
    password_of_file,
)
from gateway.settings.sources import load

NOT_KEYS = ["hid den", "hid\tden", "hidén", "hid\0den", "hid\x7fden"]


def file_of(folder: Path, content: bytes) -> str:
    file = folder / "keys"
    file.write_bytes(content)
    return str(file)


# API keys


def test_api_keys_are_cut_at_commas() -> None:
    assert api_keys("NAME", " a , b,,") == ("a", "b")


def test_no_api_keys_are_none() -> None:
    assert api_keys("NAME", " , ") == ()


def test_an_api_key_that_is_there_twice_is_one() -> None:
    assert api_keys("NAME", "a,b,a") == ("a", "b")


def test_an_api_key_may_be_made_of_whatever_a_header_carries() -> None:
    every = "".join(map(chr, range(0x21, 0x7F))).replace(",", "")

    assert api_keys("NAME", every) == (every,)


@pytest.mark.parametrize("wrong", NOT_KEYS)
def test_an_api_key_that_no_header_carries_is_refused_and_not_shown(wrong: str) -> None:
    with pytest.raises(ConfigError) as caught:
        api_keys("NAME", f"fine,{wrong}")

    assert str(caught.value) == "NAME=***: key 2 is not printable ASCII without spaces"


# The file of API keys


@pytest.mark.parametrize(
    "content",
    [
        b"a\nb\n",
        b"a,b",
        b"# of the shop\r\na\r\n\r\n  # of the blog\r\n b \r\n",
        b"a,\n# c\n,b",
        b"\xef\xbb\xbfa\nb",
    ],
    ids=["lines", "commas", "comments", "both", "with a byte order mark"],
)
def test_a_file_of_keys_is_read_line_by_line(tmp_path: Path, content: bytes) -> None:
    assert api_keys_of_file("NAME", file_of(tmp_path, content)) == ("a", "b")


def test_only_a_line_is_a_comment_not_the_end_of_one(tmp_path: Path) -> None:
    assert api_keys_of_file("NAME", file_of(tmp_path, b"a#b")) == ("a#b",)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"# none yet\n"])
def test_a_file_without_a_key_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = file_of(tmp_path, content)

    with pytest.raises(ConfigError) as caught:
        api_keys_of_file("NAME", path)

    assert str(caught.value) == f"NAME={path}: there is no key in this file"


def test_a_file_of_keys_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    path = str(tmp_path / "none")

    with pytest.raises(ConfigError) as caught:
        api_keys_of_file("NAME", path)

    assert str(caught.value) == f"NAME={path}: No such file or directory"


def test_a_folder_is_no_file_of_keys(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Is a directory$"):
        api_keys_of_file("NAME", str(tmp_path))


def test_bytes_that_are_no_text_are_no_keys(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not a file of text$"):
        api_keys_of_file("NAME", file_of(tmp_path, b"\xff\xfe"))


def test_a_path_that_cannot_be_one_is_one_line() -> None:
    with pytest.raises(ConfigError) as caught:
        api_keys_of_file("NAME", "a\0\nb")

    assert str(caught.value) == r"NAME='a\x00\nb': not a file of text"


def test_a_wrong_key_of_a_file_is_not_shown(tmp_path: Path) -> None:
    path = file_of(tmp_path, b"fine\nhid den\n")

    with pytest.raises(ConfigError) as caught:
        api_keys_of_file("NAME", path)

    assert str(caught.value) == f"NAME={path}: key 2 is not printable ASCII without spaces"


# AWS access keys


def test_access_keys_are_pairs() -> None:
    assert access_keys("NAME", "AKID:one, other-id_2.x:two,") == {
        "AKID": "one",
        "other-id_2.x": "two",
    }


def test_a_secret_may_have_what_separates_it_from_its_id() -> None:
    assert access_keys("NAME", "AKID:a/b+c=:d") == {"AKID": "a/b+c=:d"}


@pytest.mark.parametrize("wrong", ["hidden", ":hidden", "hidden:", "hid/den:x", "hid den:x", "é:x"])
def test_an_access_key_that_is_no_pair_is_refused_and_not_shown(wrong: str) -> None:
    with pytest.raises(ConfigError) as caught:
        access_keys("NAME", f"AKID:fine,{wrong}")

    assert str(caught.value) == (
        "NAME=***: entry 2 is not ID:SECRET, the ID of letters, digits, ., - and _, "
        "the secret of printable ASCII without spaces"
    )


@pytest.mark.parametrize("wrong", NOT_KEYS)
def test_a_secret_that_cannot_be_typed_everywhere_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="entry 1 is not ID:SECRET"):
        access_keys("NAME", f"AKID:{wrong}")


def test_one_id_cannot_have_two_secrets() -> None:
    with pytest.raises(ConfigError, match=r"^NAME=\*\*\*: entry 2 has the ID of an earlier one$"):
        access_keys("NAME", "AKID:one,AKID:two")


# The password of Redis


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b" sec ret \n", " sec ret "),
        ("sécr€t/?#@:%41\n".encode(), "sécr€t/?#@:%41"),
    ],
)
@pytest.mark.parametrize(
    ("url", "user"),
    [
        ("redis://cache", None),
        ("redis://ada@cache:7/2", "ada"),
        ("rediss://[::1]:7/2", None),
        ("unix:///run/redis.sock", None),
        ("redis://", None),
    ],
)
def test_a_password_of_a_file_is_that_of_the_url(
    tmp_path: Path, content: bytes, password: str, url: str, user: str | None
) -> None:
    environment = {
        "GATEWAY_REDIS_URL": url,
        "GATEWAY_REDIS_PASSWORD_FILE": file_of(tmp_path, content),
    }
    settings = load(environment).settings
    found, given = parse(settings.redis_url.reveal()), parse(url)

    assert (found.username, found.password) == (user, password)
    assert found.display == given.display
    assert password not in repr(settings).replace("_secret_key=", "")  # the name of a setting


@pytest.mark.parametrize("content", [b"", b"\n", b"one\ntwo\n", b"\xff"])
def test_a_file_that_is_no_password_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigError, match=r"GATEWAY_REDIS_PASSWORD_FILE=.* not a file of"):
        password_of_file("GATEWAY_REDIS_PASSWORD_FILE", file_of(tmp_path, content))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://:secret@cache", "give one of them"),
        ("redis://ada:@cache", "give one of them"),
        ("redis://cache?password=secret", "give one of them"),
        ("", "needs GATEWAY_REDIS_URL"),
    ],
)
def test_a_password_in_a_file_needs_a_url_without_one(tmp_path: Path, url: str, said: str) -> None:
    file = file_of(tmp_path, b"guess")
    with pytest.raises(ConfigError, match=said) as refused:
        load({"GATEWAY_REDIS_URL": url, "GATEWAY_REDIS_PASSWORD_FILE": file})

    assert "secret" not in str(refused.value)
    assert "guess" not in str(refused.value)


@pytest.mark.parametrize("more", ["", "?db=1"])
def test_the_password_of_sentinels_comes_from_a_file_too(tmp_path: Path, more: str) -> None:
    environment = {
        "GATEWAY_REDIS_URL": f"redis+sentinel://one,two/main{more}",
        "GATEWAY_REDIS_PASSWORD_FILE": file_of(tmp_path, b"of/nodes\n"),
    }
    (tmp_path / "more").mkdir()
    environment["GATEWAY_REDIS_SENTINEL_PASSWORD_FILE"] = file_of(tmp_path / "more", b"the&irs\n")
    redis_url = load(environment).settings.redis_url
    found = parse(redis_url)

    assert found.password == "of/nodes"
    assert found.sentinels is not None
    assert found.sentinels._questions.login == [("AUTH", "the&irs")]
    assert redis_url.name == "GATEWAY_REDIS_URL"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://cache", "needs Sentinels"),
        ("", "needs Sentinels"),
        ("redis+sentinel://one/main?sentinel_password=secret", "give one of them"),
    ],
)
def test_a_password_of_sentinels_needs_sentinels_without_one(
    tmp_path: Path, url: str, said: str
) -> None:
    file = file_of(tmp_path, b"guess")
    with pytest.raises(ConfigError, match=said) as refused:
        load({"GATEWAY_REDIS_URL": url, "GATEWAY_REDIS_SENTINEL_PASSWORD_FILE": file})

    assert "secret" not in str(refused.value)
    assert "guess" not in str(refused.value)
