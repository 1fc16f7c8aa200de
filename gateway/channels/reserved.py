"""What may be done in the channels of the gateway's own: nothing but subscribing, by its page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.errors import UnknownChannel
from gateway.protocol.channel_names import namespace_of
from gateway.protocol.reports import REPORTS
from gateway.settings.namespaces import ChannelOptions

_REPORTS: Final = ChannelOptions(
    allow_subscribe_for_client=True, allow_subscribe_for_anonymous=True
)

OptionsOf = Callable[[str], ChannelOptions]


def reserved(channel: str) -> ChannelOptions:
    """Its options.

    Raises:
        UnknownChannel: It is none of them.
    """
    if channel == REPORTS:
        return _REPORTS
    raise UnknownChannel(f"there is no namespace {namespace_of(channel)!r}")


def also_reserved(options_of: OptionsOf) -> OptionsOf:
    """The options of all channels, for what asks only how a channel is kept."""

    def found(channel: str) -> ChannelOptions:
        return _REPORTS if channel == REPORTS else options_of(channel)

    return found
