"""What a client may do in a channel, as its namespace says. Pure.

What an application or a token allows is looked at before: here is what holds without them.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.protocol import channel_names
from gateway.protocol.centrifuge.codes import NOT_AVAILABLE, PERMISSION_DENIED, Error
from gateway.settings.namespaces import ChannelOptions


def may_subscribe(options: ChannelOptions, channel: str, *, user: str) -> Error | None:
    """Whether a client is refused, that shows no token. ``user``: empty for an anonymous one.

    A channel that is private, or for some users, is never open to others.
    """
    if channel_names.is_private(channel):
        return PERMISSION_DENIED
    users = channel_names.users_of(channel)
    if users is not None:
        return _unless(options.allow_user_limited_channels and user != "" and user in users)
    return _unless(
        options.allow_subscribe_for_client and (user != "" or options.allow_subscribe_for_anonymous)
    )


def may_publish(options: ChannelOptions, *, user: str, subscribed: bool) -> Error | None:
    allowed = _may(
        options.allow_publish_for_client,
        options.allow_publish_for_anonymous,
        options.allow_publish_for_subscriber,
        user=user,
        subscribed=subscribed,
    )
    return None if allowed else PERMISSION_DENIED


def may_ask_history(options: ChannelOptions, *, user: str, subscribed: bool) -> Error | None:
    if not options.has_history:
        return NOT_AVAILABLE
    return _unless(
        _may(
            options.allow_history_for_client,
            options.allow_history_for_anonymous,
            options.allow_history_for_subscriber,
            user=user,
            subscribed=subscribed,
        )
    )


def may_ask_presence(options: ChannelOptions, *, user: str, subscribed: bool) -> Error | None:
    if not options.presence:
        return NOT_AVAILABLE
    return _unless(_may_know_members(options, user=user, subscribed=subscribed))


def may_see_members(options: ChannelOptions, *, user: str) -> bool:
    """Whether a subscriber that asks for it is told who joins and leaves."""
    return options.join_leave and _may_know_members(options, user=user, subscribed=True)


def with_positions(options: ChannelOptions, *, user: str) -> ChannelOptions:
    """The same, where a subscriber that may read the history may also be positioned and recover.

    It could find out for itself what it has missed.
    """
    if may_ask_history(options, user=user, subscribed=True) is not None:
        return options
    return replace(options, allow_positioning=True, allow_recovery=True)


def _may_know_members(options: ChannelOptions, *, user: str, subscribed: bool) -> bool:
    return _may(
        options.allow_presence_for_client,
        options.allow_presence_for_anonymous,
        options.allow_presence_for_subscriber,
        user=user,
        subscribed=subscribed,
    )


def _may(client: bool, anonymous: bool, subscriber: bool, *, user: str, subscribed: bool) -> bool:
    """``anonymous`` opens to those without a user what is open to others, and nothing alone."""
    return (client or (subscriber and subscribed)) and (user != "" or anonymous)


def _unless(allowed: bool) -> Error | None:
    return None if allowed else PERMISSION_DENIED
