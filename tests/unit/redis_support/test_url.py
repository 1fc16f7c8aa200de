"""The operator's Redis URL: taken apart, or refused in one line that never quotes it."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.url import parse


def complaint(url: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(url)
    return str(caught.value)


def where(address: RedisAddress) -> tuple[str, int, int]:
    return address.host, address.port, address.database


@pytest.mark.parametrize(
    ("url", "host_port_database"),
    [
        ("redis://", ("localhost", 6379, 0)),
        ("redis://cache", ("cache", 6379, 0)),
        ("redis://cache/", ("cache", 6379, 0)),
        ("redis://cache:1/2", ("cache", 1, 2)),
        ("redis://cache?db=3", ("cache", 6379, 3)),
        ("redis://cache?db=", ("cache", 6379, 0)),
        ("redis://[::1]:7000/0", ("::1", 7000, 0)),
        ("REDIS://cache", ("cache", 6379, 0)),
        (" redis://cache", ("cache", 6379, 0)),
        ("\tRedis://cache", ("cache", 6379, 0)),
    ],
)
def test_a_url_says_where_the_node_is(url: str, host_port_database: tuple[str, int, int]) -> None:
    address = parse(url)

    assert where(address) == host_port_database
    assert address.path is None
    assert address.tls is None
    # As redis-py takes it. " redis://" had become "rediss://", and the pools spoke TLS.
    assert address.url == url.strip().replace("REDIS:", "redis:").replace("Redis:", "redis:")


def test_a_unix_url_says_where_the_socket_is() -> None:
    address = parse("unix:///run/a%20b.sock?db=4")

    assert (address.path, address.database) == ("/run/a b.sock", 4)


@pytest.mark.parametrize(
    ("url", "username", "password"),
    [
        ("redis://cache", None, None),
        ("redis://:secret@cache", None, "secret"),
        ("redis://ada:secret@cache", "ada", "secret"),
        ("redis://ada:a%40b%2Fc%3A@cache", "ada", "a@b/c:"),
        ("redis://:a,b@cache", None, "a,b"),
        ("redis://cache?username=ada&password=secret", "ada", "secret"),
        ("unix:///run/redis.sock?password=secret", None, "secret"),
    ],
)
def test_a_url_says_who_we_are(url: str, username: str | None, password: str | None) -> None:
    address = parse(url)

    assert (address.username, address.password) == (username, password)


# TLS


def test_tls_checks_the_servers_name_and_certificate() -> None:
    tls = parse("rediss://cache").tls

    assert tls is not None
    assert tls.check_hostname
    assert tls.verify_mode is ssl.CERT_REQUIRED


def test_tls_can_be_told_not_to_check() -> None:
    tls = parse("rediss://cache?ssl_cert_reqs=none").tls

    assert tls is not None
    assert not tls.check_hostname
    assert tls.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
def test_a_certificate_file_that_is_not_there_is_one_line(option: str, tmp_path: Path) -> None:
    message = complaint(f"rediss://cache?{option}={tmp_path}/none.pem")

    assert message == "redis_url: its certificates: No such file or directory"


def test_a_certificate_file_with_something_else_in_it_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "other.pem"
    file.write_text("something else")

    message = complaint(f"rediss://cache?ssl_certfile={file}")

    assert message.startswith("redis_url: its certificates: ")
    assert "\n" not in message


# What is refused


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis+cluster://:hidden@", "names no node"),
        ("redis+cluster://:hidden@one:1,two:0", "one of its nodes is not host:port"),
        ("redis+cluster://:hidden@one:1,t..o:2", "one of its nodes is not host:port"),
        ("redis+cluster://:hidden@one:1,two:2/1", "no database but 0"),
        ("redis+cluster://:hidden@one:1,two:2/main", "not a number"),
        ("redis+cluster://:hidden@one?ssl_ca_certs=x", "option ssl_ca_certs is not one of"),
    ],
)
def test_what_is_no_url_of_a_cluster_is_told(url: str, words: str) -> None:
    assert words in complaint(url)


def test_several_nodes_without_sentinels_are_refused() -> None:
    message = complaint("redis://:hidden@one:1,two:2")

    assert message == (
        "redis_url: several Redis nodes: give one node, Sentinels as "
        "redis+sentinel://host,host/primary, or a Cluster as redis+cluster://host,host"
    )


@pytest.mark.parametrize("url", ["", "cache:6379", "http://cache", "hidden", "redis-sentinel://a"])
def test_anything_else_is_told_how_a_url_begins(url: str) -> None:
    message = complaint(url)

    assert message == (
        "redis_url does not begin with redis://, rediss://, unix://, redis+sentinel://, "
        "rediss+sentinel://, redis+cluster:// or rediss+cluster://"
    )


# Sentinels


def test_a_url_of_sentinels_names_them_the_primary_and_who_is_let_in() -> None:
    address = parse(
        "redis+sentinel://ada:hid%2Fden@one,two:1,[::1]:2/main/3"
        "?sentinel_username=bob&sentinel_password=se%26cret"
    )

    assert address.sentinels is not None
    assert address.sentinels.hosts == (("one", 26379), ("two", 1), ("::1", 2))
    assert address.sentinels.name == "main"
    assert (address.username, address.password, address.database) == ("ada", "hid/den", 3)
    assert address.sentinels._questions.login == [("AUTH", "bob", "se&cret")]
    assert address.display == "redis+sentinel://one:26379,two:1,[::1]:2/main/3"
    assert "cret" not in repr(address)
    assert "cret" not in address.url


def test_nobody_logs_in_at_sentinels_with_the_password_of_the_nodes() -> None:
    address = parse("redis+sentinel://:hidden@one/main")

    assert address.sentinels is not None
    assert address.sentinels._questions.login == []
    assert address.password == "hidden"


def test_sentinels_have_tls_where_the_nodes_have() -> None:
    address = parse("rediss+sentinel://one/main?ssl_cert_reqs=none")

    assert address.tls is not None
    assert address.sentinels is not None
    assert address.sentinels._questions.context is not None
    assert address.sentinels._questions.context.verify_mode is ssl.CERT_NONE
    assert address.display == "rediss+sentinel://one:26379/main/0"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis+sentinel://one,two", "does not say which primary"),
        ("redis+sentinel://one/", "does not say which primary"),
        ("redis+sentinel:///main", "names no Sentinel"),
        ("redis+sentinel://one:0/main", "one of its Sentinels is not host:port"),
        ("redis+sentinel://one:many/main", "one of its Sentinels is not host:port"),
        ("redis+sentinel://:1/main", "one of its Sentinels is not host:port"),
        ("redis+sentinel://one/main/first", "its database is not a number from 0"),
        ("redis+sentinel://one/main?timeout=1",
         "option timeout is not one of db, username, password, sentinel_username, sentinel_passw"),
        ("redis://one/0?sentinel_password=x", "option sentinel_password is not one of"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_url_of_sentinels_is_said(url: str, message: str) -> None:
    assert message in complaint(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache:0",
        "redis://cache:65536",
        "redis://cache:none",
        "redis://:hid#den@cache",
        "redis://:1#hidden@cache",
    ],
)
def test_a_bad_port_is_named_without_quoting_what_may_be_a_password(url: str) -> None:
    message = complaint(url)

    assert message == (
        "redis_url: its port is not 1 to 65535 "
        "(if that is the password: write / ? # @ in it as %2F %3F %23 %40)"
    )


@pytest.mark.parametrize("host", ["[::1", "a..b", "a" * 64])
def test_a_bad_host_is_named_without_quoting_the_password(host: str) -> None:
    assert complaint(f"redis://:hidden@{host}") == "redis_url: its host is malformed"


@pytest.mark.parametrize("url", ["redis://cache/main", "redis://cache?db=-1", "redis://cache/1/2"])
def test_a_database_is_a_number_and_not_silently_the_first(url: str) -> None:
    assert complaint(url) == "redis_url: its database is not a number from 0"


def test_a_unix_url_without_a_path_does_not_silently_mean_localhost() -> None:
    assert complaint("unix://") == "redis_url: unix:// needs the path of a socket"


@pytest.mark.parametrize(
    ("url", "option"),
    [
        ("redis://cache?socket_timeout=5", "socket_timeout"),
        ("redis://cache?hidden", "hidden"),
        ("redis://cache?ssl_ca_certs=ca.pem", "ssl_ca_certs"),
    ],
)
def test_an_option_that_nobody_would_heed_is_refused(url: str, option: str) -> None:
    message = complaint(url)

    assert message == f"redis_url: option {option} is not one of db, username, password"


@pytest.mark.parametrize(("switch", "checked"), [("true", True), ("no", False), ("0", False)])
def test_the_host_name_in_a_certificate_need_not_be_checked(switch: str, checked: bool) -> None:
    tls = parse(f"rediss://cache?ssl_check_hostname={switch}").tls

    assert tls is not None
    assert tls.check_hostname is checked
    assert tls.verify_mode is ssl.CERT_REQUIRED


def test_a_switch_that_is_none_is_refused() -> None:
    assert "ssl_check_hostname is not" in complaint("rediss://cache?ssl_check_hostname=maybe")


# A Cluster


def test_a_url_of_a_cluster_names_nodes_to_ask() -> None:
    address = parse("redis+cluster://me:secret@one,[::1]:7001")

    assert address.cluster is not None
    assert address.cluster.nodes.seeds == (("one", 6379), ("::1", 7001))
    assert (address.username, address.password, address.publish_verb) == (
        "me", "secret", "SPUBLISH",
    )  # fmt: skip
    assert address.display == "redis+cluster://one:6379,[::1]:7001"
    assert "secret" not in repr(address)
