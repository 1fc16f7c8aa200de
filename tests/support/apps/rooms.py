"""An application whose channels clients may use as they like, and with which they may talk."""

from __future__ import annotations

from gateway import Call, Connection, Gateway, Message

gateway = Gateway()

CHANNELS = """{
  "without_namespace": {
    "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true
  },
  "namespaces": [{
    "name": "room",
    "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true,
    "allow_publish_for_subscriber": true, "allow_publish_for_anonymous": true,
    "history_size": 1000, "history_ttl": "300s",
    "allow_history_for_subscriber": true, "allow_history_for_anonymous": true,
    "allow_positioning": true, "allow_recovery": true,
    "presence": true, "join_leave": true, "allow_presence_for_subscriber": true,
    "allow_presence_for_anonymous": true
  }]
}"""


@gateway.on_connect
async def name(connection: Connection) -> str | None:
    """Users are called what the query says."""
    return connection.query or None


@gateway.on_rpc("double")
async def double(call: Call) -> dict[str, object]:
    return {"twice": 2 * call.data["n"], "user": call.connection.user}


@gateway.on_rpc("tell")
async def tell(call: Call) -> str:
    return await gateway.send(call.connection.id, call.data)


@gateway.on_message
async def hear(message: Message) -> str:
    return f'{{"heard":{message.text}}}'
