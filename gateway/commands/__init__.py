"""What can be asked for together in one ``batch``: commands, each named as the verb that does it.

::

    from gateway import commands

    await gateway.batch([
        commands.Publish("orders", {"order": 17}, idempotency_key="order-17"),
        commands.SendToUser("ali", "your order has shipped"),
    ])
"""

from gateway.commands.definitions import (
    Broadcast,
    Command,
    Disconnect,
    DisconnectUser,
    Publish,
    Send,
    SendToUser,
    Subscribe,
    Unsubscribe,
)

__all__ = [
    "Broadcast",
    "Command",
    "Disconnect",
    "DisconnectUser",
    "Publish",
    "Send",
    "SendToUser",
    "Subscribe",
    "Unsubscribe",
]
