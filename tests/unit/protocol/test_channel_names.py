"""What a channel's name says."""

from __future__ import annotations

import pytest

from gateway.errors import BadChannel
from gateway.protocol import channel_names


@pytest.mark.parametrize("channel", ["a", "room:42", "$room:42#ann,bob", "a b", "~" * 255])
def test_printable_ascii_of_up_to_255_bytes_is_a_name(channel: str) -> None:
    channel_names.check(channel)


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ("", "1 to 255 bytes, not 0"),
        ("a" * 256, "1 to 255 bytes, not 256"),
        ("bücher", "printable ASCII"),
        ("a\nb", "printable ASCII"),
        ("a\x7f", "printable ASCII"),
    ],
)
def test_anything_else_is_none(channel: str, said: str) -> None:
    with pytest.raises(BadChannel, match=said):
        channel_names.check(channel)


@pytest.mark.parametrize(
    ("channel", "namespace"),
    [
        ("news", ""),
        ("room:42", "room"),
        ("room:42:left", "room"),
        ("$room:42", "room"),
        ("$news", ""),
        ("room:", "room"),
        (":42", ""),
        ("room:#ann", "room"),
    ],
)
def test_the_namespace_goes_up_to_the_first_colon(channel: str, namespace: str) -> None:
    assert channel_names.namespace_of(channel) == namespace


def test_a_dollar_makes_it_private() -> None:
    assert channel_names.is_private("$room:42")
    assert not channel_names.is_private("room:$42")


@pytest.mark.parametrize(
    ("channel", "users"),
    [
        ("room:42", None),
        ("#ann", ("ann",)),
        ("talk#ann,bob", ("ann", "bob")),
        ("talk#1#ann", ("ann",)),
        ("talk#", ("",)),
    ],
)
def test_what_follows_the_last_number_sign_are_its_users(
    channel: str, users: tuple[str, ...] | None
) -> None:
    assert channel_names.users_of(channel) == users
