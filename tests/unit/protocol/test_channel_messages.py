"""``gateway.protocol.channel_messages``: what is written is read, and nothing else is."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.channel_messages import (
    MAX_OFFSET_DIGITS,
    ChannelMessage,
    ClientInfo,
    MessageKind,
    PublicationBody,
    TracedPublicationBody,
    encode,
    message,
    read,
    read_client_info,
    read_publication,
)
from gateway.protocol.trace_context import TraceContext

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@given(
    st.sampled_from(MessageKind), st.binary(), st.text(LETTERS, max_size=8),
    st.integers(0, 2**53),
)  # fmt: skip
def test_a_message_is_read_as_it_was_written(
    kind: MessageKind, body: bytes, epoch: str, offset: int
) -> None:
    payload = message(kind, body, epoch=epoch, offset=offset)

    assert read(payload) == ChannelMessage(kind, epoch, offset, body)


@given(st.binary(max_size=60))
def test_whatever_comes_is_a_message_or_none(payload: bytes) -> None:
    found = read(payload)

    assert found is None or payload.endswith(found.body)


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"p", b"p1", b"p1:", b"p1:e", b"1:e:", b"x1:e:b", b"P1:e:b", b"p:e:b", b"p-1:e:b",
        b"p+1:e:b", b"p1.0:e:b", b"p 1:e:b", b"p1_0:e:b", b"p\xb2:e:b", b"p1:\xff:b",
        b"p" + b"1" * (MAX_OFFSET_DIGITS + 1) + b":e:b",
    ],
)  # fmt: skip
def test_what_is_no_message_is_none(payload: bytes) -> None:
    assert read(payload) is None


def test_the_longest_offset_is_read() -> None:
    found = read(b"p" + b"9" * MAX_OFFSET_DIGITS + b":e:b")

    assert found is not None
    assert found.offset == int("9" * MAX_OFFSET_DIGITS)


def test_a_publication_keeps_its_bytes() -> None:
    info = ClientInfo("user", "client", b'{"a":1}', b"[2]")
    body = PublicationBody(b'{ "a" : 1.0 }', info, {"tag": "1"})

    assert read_publication(encode(body)) == body
    assert read_client_info(encode(info)) == info
    assert read_publication(encode(PublicationBody(b"1"))) == PublicationBody(b"1", None, {})


def test_a_trace_is_behind_what_all_read_and_without_one_nothing_is_there() -> None:
    plain = PublicationBody(b"1", ClientInfo("ann", "c1"), {"k": "v"})
    told = TraceContext("00-a-b-01", "a=1")
    traced = TracedPublicationBody(b"1", ClientInfo("ann", "c1"), {"k": "v"}, told)
    read_traced = msgspec.msgpack.Decoder(TracedPublicationBody).decode

    assert read_publication(encode(traced)) == plain
    assert read_traced(encode(traced)) == traced
    assert read_traced(encode(plain)).trace is None
    assert len(msgspec.msgpack.decode(encode(plain))) == 3
