"""The JSON of requests: read so that whatever is wrong with it is said, and nothing is lost.

Of a member that is given twice a reader takes the last, and says nothing. So a command would be
lost that stands beside another one of its kind: what is given twice is refused, wherever these
calls have members. Data that is published is the application's own, and passes as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final, TypeVar

import msgspec

from gateway.http_api.answers import Problem
from gateway.http_api.call import Call, text_of
from gateway.protocol.centrifuge.commands import without_half_pairs
from gateway.protocol.json_depth import MAX_DEPTH

T = TypeVar("T")

_check_json: Final = msgspec.json.Decoder(msgspec.Raw).decode


# What each name becomes is equal to no other, so that a dict keeps both; made by no function of
# ours, of which a batch would call one for each member.
_read_members: Final = msgspec.json.Decoder(dict[partial, msgspec.Raw], dec_hook=partial)  # type: ignore[type-arg]


def json_of(call: Call) -> str:
    """The body, in which escapes of half a surrogate pair are U+FFFD.

    Raises:
        Problem: It is not UTF-8.
    """
    text = text_of(call)
    try:
        _check_json(text)
    except (msgspec.DecodeError, RecursionError):
        return without_half_pairs(text)
    return text


def members_of(said: msgspec.Raw | str) -> Mapping[str, msgspec.Raw]:
    """The members of an object, as JSON.

    Raises:
        Problem: It is none, or has a member twice.
    """
    members: dict[str, msgspec.Raw] = {}
    for key, value in read(_read_members, said).items():
        [name] = key.args
        if name in members:
            raise Problem(400, f"an object has the member {name!r} twice: give it once")
        members[name] = value
    return members


def read(reader: msgspec.json.Decoder[T], said: msgspec.Raw | str) -> T:
    """What ``reader`` makes of it.

    Raises:
        Problem: It is something else.
    """
    try:
        return reader.decode(said)
    except RecursionError:
        raise Problem(400, f"it is nested more than {MAX_DEPTH} deep") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Problem(400, str(error)) from None
