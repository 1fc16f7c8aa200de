"""What may be done in the channels of the gateway's own."""

from __future__ import annotations

import pytest

from gateway.channels import permissions
from gateway.channels.reserved import also_reserved, reserved
from gateway.errors import ConfigError, UnknownChannel
from gateway.protocol.reports import REPORTS
from gateway.settings.namespaces import Namespaces, parse


def test_who_has_come_to_its_socket_may_subscribe_and_do_nothing_else() -> None:
    options = reserved(REPORTS)

    assert permissions.may_subscribe(options, REPORTS, user="") is None
    assert not options.allow_publish_for_client
    assert not options.allow_publish_for_subscriber
    assert not options.has_history
    assert not options.presence


@pytest.mark.parametrize("channel", ["room:a", "a", "@admin:other", "@admin"])
def test_no_other_channel_is_there(channel: str) -> None:
    with pytest.raises(UnknownChannel):
        reserved(channel)


def test_how_it_is_kept_is_known_beside_the_others() -> None:
    public = Namespaces().options_of
    options_of = also_reserved(public)

    assert options_of(REPORTS) == reserved(REPORTS)
    assert options_of("a") == public("a")
    with pytest.raises(UnknownChannel):
        options_of("@admin:other")


def test_no_namespace_of_the_settings_can_take_its_name() -> None:
    with pytest.raises(ConfigError, match="@admin"):
        parse("channel", {"namespaces": [{"name": "@admin"}]})
    with pytest.raises(UnknownChannel):
        Namespaces().options_of(REPORTS)
