"""Each kind of envelope has a tag of its own, for ever."""

from __future__ import annotations

import subprocess
import sys
from pkgutil import iter_modules

import pytest

from gateway.protocol import envelopes
from gateway.protocol.envelopes.kinds import Envelope, all_kinds, register

# A tag says which kind it is to workers of other releases too. A line is added here and never
# changed: that of a kind that is no more stays, as "no more", so that nobody takes its tag.
TAGS = {
    1: "Introduce",
    2: "Forget",
    3: "Dispatch",
    4: "DispatchConnect",
    5: "DispatchDisconnect",
    6: "Reply",
    7: "Failed",
    8: "Admitted",
    9: "Rejected",
    10: "Probe",
    11: "Arrived",
    12: "Leaving",
    13: "Gone",
    14: "Send",
    15: "Disconnect",
    16: "Inquire",
    17: "Receipted",
    18: "Blocking",
    19: "SubscribeConnection",
    20: "UnsubscribeConnection",
    21: "ListChannels",
    22: "Watched",
    30: "DispatchHook",
    31: "HookAnswered",
    32: "HookDenied",
    33: "TracedDispatch",
    34: "TracedDispatchConnect",
    35: "TracedDispatchDisconnect",
    36: "TracedDispatchHook",
    37: "TracedSend",
    38: "TracedDisconnect",
    39: "TracedInquire",
    40: "TracedSubscribeConnection",
    41: "TracedUnsubscribeConnection",
}


def test_every_tag_is_the_one_that_it_has_always_been() -> None:
    kinds = {tag: kind.__name__ for tag, kind in all_kinds().items()}

    assert kinds == {tag: name for tag, name in TAGS.items() if name != "no more"}


def test_a_tag_that_is_taken_is_refused_with_the_name_of_who_has_it() -> None:
    class Second(Envelope, tag=3, frozen=True):
        token: int

    with pytest.raises(ValueError, match=r"^Second has the tag 3, which Dispatch has$"):
        register(Second)


def test_a_tag_that_is_no_number_is_refused() -> None:
    class Named(Envelope, tag="named", frozen=True):
        token: int

    with pytest.raises(TypeError, match=r"^Named has the tag 'named', not a number$"):
        register(Named)


@pytest.mark.parametrize("first", [module.name for module in iter_modules(envelopes.__path__)])
def test_whichever_module_is_imported_first_the_wire_reads_every_kind(first: str) -> None:
    script = (
        f"import {envelopes.__name__}.{first}\n"
        "from typing import get_args\n"
        "from gateway.protocol.envelopes import kinds, wire\n"
        f"assert len(get_args(wire._AnyKind)) == len(kinds.all_kinds()) == {len(all_kinds())}\n"
    )

    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
