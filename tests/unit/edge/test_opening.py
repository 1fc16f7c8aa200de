"""What a connection waits for before its first message is handled."""

from __future__ import annotations

from unittest.mock import Mock

from gateway.edge.opening import Opening
from gateway.protocol.receipt import Receipt


def test_a_channel_that_was_taken_back_is_not_waited_for() -> None:
    ready, session = Mock(), Mock()
    opening = Opening(Mock(), ("a", "b"), ready)
    opening.subscribe(session, ("a", "b"))
    tell_a, tell_b = (call.args[2] for call in session.subscribe.call_args_list)
    opening.registered()
    tell_a(Receipt.WRITTEN)
    ready.assert_not_called()
    tell_b(Receipt.GONE)  # the application has unsubscribed it meanwhile

    ready.assert_called_once_with()
