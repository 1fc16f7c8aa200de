"""docker-compose.yml with deploy/compose/password.yml beside it."""

from __future__ import annotations

from pathlib import Path

from tests.support.centrifuge_client import centrifuge_client
from tests.support.compose import ComposeStack
from tests.support.trace_client import trace_client

PASSWORD = "open-sesame"


async def test_redis_asks_for_the_password_of_a_file_and_workers_have_it(
    image: str, tmp_path: Path
) -> None:
    file = tmp_path / "redis"
    file.write_text(PASSWORD + "\n")
    override = "deploy/compose/password.yml"
    with ComposeStack(image, override=override, REDIS_PASSWORD_FILE=str(file)) as stack:
        stack.up()
        async with trace_client(stack.ws_url) as client:
            assert (await client.ask("hello")).text == "Received:hello"
        async with centrifuge_client(stack.port) as member:
            await member.subscribe("room:lobby")
            await member.ask(publish={"channel": "room:lobby", "data": "hello"})
            assert (await member.publication())["data"] == "hello"
            found = await member.ask(presence={"channel": "room:lobby"})
            assert list(found["presence"]["presence"]) == [member.id]
        refused = stack.compose("exec", "-T", "redis", "redis-cli", "ping")

        assert "NOAUTH" in refused
        assert len(stack.ask("gateway", "workers")) == 2
        processes = stack.compose("top")
        assert PASSWORD not in processes + stack.compose("config")
