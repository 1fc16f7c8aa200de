"""Reading text frames of JSON commands."""

from __future__ import annotations

import json
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.close_codes import BAD_REQUEST
from gateway.protocol.centrifuge.commands import (
    MAX_U64,
    Command,
    Connect,
    History,
    Malformed,
    Pong,
    Presence,
    PresenceStats,
    Publish,
    Refresh,
    Request,
    Rpc,
    Send,
    StreamPosition,
    SubRefresh,
    Subscribe,
    Unknown,
    Unsubscribe,
    decode,
    name_of,
    parts,
    without_half_pairs,
)
from gateway.protocol.centrifuge.replies import embeddable


def one(text: str) -> Command:
    [command] = decode(text)
    assert isinstance(command, Command), command
    return command


def malformed(text: str) -> Malformed:
    *_, last = decode(text)
    assert isinstance(last, Malformed), last
    return last


EVERY_COMMAND: list[tuple[str, Request]] = [
    ('{"id":1,"connect":{"token":"t","name":"js"}}', Connect(token="t", name="js")),
    (
        '{"id":1,"connect":{"subs":{"a":{"recover":true,"offset":3}},"headers":{"x":"y"}}}',
        Connect(subs={"a": Subscribe(recover=True, offset=3)}, headers={"x": "y"}),
    ),
    (
        '{"id":1,"subscribe":{"channel":"a","flag":1,"recover":true,"epoch":"e"}}',
        Subscribe(channel="a", flag=1, recover=True, epoch="e"),
    ),
    ('{"id":1,"unsubscribe":{"channel":"a"}}', Unsubscribe("a")),
    ('{"id":1,"publish":{"channel":"a"}}', Publish("a")),
    ('{"id":1,"presence":{"channel":"a"}}', Presence("a")),
    ('{"id":1,"presence_stats":{"channel":"a"}}', PresenceStats("a")),
    (
        '{"id":1,"history":{"channel":"a","limit":-1,"since":{"offset":4},"reverse":true}}',
        History("a", limit=-1, since=StreamPosition(offset=4), reverse=True),
    ),
    ('{"id":1,"rpc":{"method":"m"}}', Rpc("m")),
    ('{"id":1,"refresh":{"token":"t"}}', Refresh("t")),
    ('{"id":1,"sub_refresh":{"channel":"a","token":"t"}}', SubRefresh("a", "t")),
]


@pytest.mark.parametrize(("text", "request_"), EVERY_COMMAND)
def test_every_command_is_read(text: str, request_: Request) -> None:
    assert one(text) == Command(1, request_, len(text))


@pytest.mark.parametrize(("text", "request_"), EVERY_COMMAND)
def test_a_command_needs_an_id(text: str, request_: Request) -> None:
    name = name_of(request_)

    assert malformed(text.replace('"id":1,', "")).why == f"{name} without an id"


def test_send_has_no_id() -> None:
    assert one('{"send":{"data":1}}').id == 0
    assert one('{"id":4,"send":{"data":1}}').id == 0
    assert isinstance(one('{"send":{}}').request, Send)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ('"data":"hello"', '"hello"'),
        ('"data" : {"a" : [1.0, 1e5 , -0],  "b c":"d  e"} ', '{"a":[1.0,1e5,-0],"b c":"d  e"}'),
        ('"data":"Grüße \\n"', '"Grüße \\n"'),
        ('"data":["\\ud83d", "\\ud83d\\ude00"]', '["\\ufffd","\\ud83d\\ude00"]'),
        ('"data":null', "null"),
        ("", "null"),
    ],
)
def test_a_message_to_the_application_is_json_without_white_space(data: str, text: str) -> None:
    request = one(f'{{"send":{{{data}}}}}').request

    assert isinstance(request, Send)
    assert request.text() == text


def test_a_message_that_is_nested_too_deeply_has_no_text() -> None:
    with pytest.raises(ValueError, match="recursion"):
        Send(msgspec.Raw(b"[" * 100_000)).text()


def test_nothing_is_a_pong() -> None:
    assert one("{}") == Command(0, Pong())


def test_an_id_with_nothing_that_is_known_can_be_answered() -> None:
    line = '{"id":7,"dance":{}}'
    assert one(line) == Command(7, Unknown(), len(line))


def test_a_client_may_not_ping() -> None:
    assert malformed('{"id":7,"ping":{}}').close == BAD_REQUEST


def test_unknown_fields_are_skipped() -> None:
    command = one('{"id":1,"later":[1],"publish":{"channel":"a","later":{"b":2}}}')

    assert command.request == Publish("a")


def test_the_first_request_counts_and_null_is_none() -> None:
    both = '"rpc":{"method":"m"},"publish":{"channel":"a"}'

    assert one(f'{{"id":1,{both}}}').request == Publish("a")
    assert one(f'{{"id":1,"connect":null,{both}}}').request == Publish("a")


def test_commands_of_one_frame_come_in_their_order() -> None:
    frame = '{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"a"}}\n{}\n'

    assert [name_of(c.request) for c in decode(frame) if isinstance(c, Command)] == [
        "connect",
        "subscribe",
        "pong",
    ]


def test_nothing_is_read_after_what_is_malformed() -> None:
    first, second = decode('{"id":1,"connect":{}}\n[]\n{"id":2,"rpc":{}}')

    assert isinstance(first, Command)
    assert isinstance(second, Malformed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "{}\n\n",
        "{}\n\n{}",
        "nonsense",
        "[]",
        "1",
        "null",
        '{"id":1,"rpc":{}',
        '{"id":1,"rpc":{}}{}',
        '{"id":-1,"rpc":{}}',
        '{"id":4294967296,"rpc":{}}',
        '{"id":"1","rpc":{}}',
        '{"id":1,"rpc":[]}',
        '{"id":1,"rpc":{"data":nul}}',
        '{"id":1,"rpc":{"data":NaN}}',
        '{"id":1,"rpc":{"data":"\\x"}}',
        '{"id":1,"rpc":{"data":"\x01"}}',
        '{"id":1,"publish":{"channel":5}}',
        '{"id":1,"subscribe":{"channel":"a","offset":-1}}',
        f'{{"id":1,"subscribe":{{"channel":"a","offset":{MAX_U64 + 1}}}}}',
        f'{{"id":1,"history":{{"channel":"a","since":{{"offset":{MAX_U64 + 1}}}}}}}',
        '{"id":1,"rpc":{"data":' + "[" * 20_000 + "]" * 20_000 + "}}",
        "\ud800",
    ],
)
def test_what_is_no_command_is_a_bad_request(text: str) -> None:
    last = malformed(text)

    assert last.close == (3501, "bad request")
    assert last.why


def test_numbers_are_read_up_to_their_bounds() -> None:
    command = one(
        f'{{"id":4294967295,"subscribe":{{"channel":"a","recover":true,"offset":{MAX_U64}}}}}'
    )

    assert command.id == 2**32 - 1
    assert command.request == Subscribe("a", recover=True, offset=MAX_U64)


def test_data_stay_as_they_were_written() -> None:
    data = '{ "b":1.50,"a":[1e5, "\\u00e9é"] ,"a":null}'
    request = one(f'{{"id":1,"publish":{{"channel":"a","data":{data}}}}}').request

    assert isinstance(request, Publish)
    assert bytes(request.data) == data.encode()


def test_the_size_of_a_command_is_in_bytes() -> None:
    assert one('{"send":{"data":"é"}}').size_bytes == len('{"send":{"data":"é"}}'.encode())


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (r"\ud83d", r"\ufffd"),
        (r"\ude00 \uD83D", r"\ufffd \ufffd"),
        (r"\ud83d\ud83d\ude00", r"\ufffd\ud83d\ude00"),
        (r"\ud83d\u00e9", r"\ufffd\u00e9"),
        (r"\\ud83d \ud83d", r"\\ud83d \ufffd"),
        (r"\\\ud83d\\\ude00", r"\\\ufffd\\\ufffd"),
        (r"\ud83d\\ude00", r"\ufffd\\ude00"),
        (r"\ud83d\ude00\ude00", r"\ud83d\ude00\ufffd"),
        (r"\n\ude00\n", r"\n\ufffd\n"),
    ],
)
def test_half_of_a_surrogate_pair_becomes_the_replacement_character(
    written: str, kept: str
) -> None:
    request = one(f'{{"id":1,"rpc":{{"data":"{written}"}}}}').request

    assert isinstance(request, Rpc)
    assert bytes(request.data).decode() == f'"{kept}"'


@pytest.mark.parametrize("escape", [r"\ud83d", r"\\", r"\n", r"\ud83d\ude00"])
def test_what_half_pairs_cost_is_no_call_for_each_escape(escape: str) -> None:
    """Red while each escape was looked at by itself: one frame of a client held the loop."""
    calls = 0

    def profile(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    text = r'"\ud83d' + escape * 1000 + '"'
    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        without_half_pairs(text)
    finally:
        sys.setprofile(before)
    assert calls < 20


def test_a_client_may_rather_be_refused_than_not_recover() -> None:
    assert Subscribe("a", flag=3).rejects_unrecovered
    assert not Subscribe("a", flag=1).rejects_unrecovered


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_is_read_or_malformed(text: str) -> None:
    commands = decode(text)

    assert commands
    assert not any(isinstance(command, Malformed) for command in commands[:-1])


@given(JSON)
def test_any_data_of_a_browser_are_kept(data: object) -> None:
    text = json.dumps({"id": 1, "rpc": {"data": data}})
    request = one(text).request

    assert isinstance(request, Rpc)
    assert json.loads(bytes(request.data)) == data


@pytest.mark.parametrize(
    "text",
    ["{}", "{}\n", "", "\n", "{}\n\n", "{}\n{}", "{}\n{}\n", "{}\n{}\n\n", "\n".join(["{}"] * 5)],
)
def test_the_parts_of_a_frame_say_what_it_says(text: str) -> None:
    read = [command for part in parts(text, 2) for command in decode(part)]
    end = next((at for at, each in enumerate(read) if isinstance(each, Malformed)), len(read))

    assert read[: end + 1] == decode(text)
    assert all(part.removesuffix("\n").count("\n") < 2 for part in parts(text, 2))


@pytest.mark.parametrize(
    "data",
    [
        '"x"', r'"\ud800"', r'"\ud83d\ude00"', r'{"a": "\udc00"}', " [1, 2.0,  null] ", '"é"',
        "1e400", "-0", '{"a": 1,\r\t"a": 2}',
    ],
)  # fmt: skip
def test_the_data_of_a_publish_goes_into_messages_as_it_is(data: str) -> None:
    """So nobody parses it once more."""
    request = one(f'{{"id":1,"publish":{{"channel":"a","data":{data}}}}}').request
    assert isinstance(request, Publish)
    written = bytes(request.data)

    assert bytes(embeddable(written)) == written
