"""The engine, the images and the stacks of the compose tier."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.compose import ComposeStack, build, docker, missing_engine, new_name
from tests.support.pusher import API_KEY
from tests.support.tokens import SECRET

APPLICATION = """
from gateway import Call, Denied, Gateway, Message, Publishing, Subscription

gateway = Gateway()


@gateway.on_message
async def answer(message: Message) -> str:
    return f"Second:{message.text}"


@gateway.on_subscribe("room:members")
async def members_only(subscription: Subscription) -> None:
    if not subscription.connection.user:
        raise Denied(401, "log in first")


@gateway.on_publish("room:members")
async def signed(publishing: Publishing) -> str:
    return f"{publishing.connection.user} says {publishing.data}"


@gateway.on_rpc("whoami")
async def whoami(call: Call) -> str | None:
    return call.connection.user


@gateway.on_rpc("announce")
async def announce(call: Call) -> int:
    return (await gateway.publish("room:members", call.data)).offset
"""
# As the Dockerfile says that an application's image is made.
APPLICATION_IMAGE = """
FROM {image}
COPY chat.py .
ENV GATEWAY_APP=chat:gateway
"""


@contextmanager
def built(folder: Path | None = None) -> Iterator[str]:
    """An image with a name of its own, removed in the end."""
    tag = new_name("image") + ":1"
    build(tag, *([folder] if folder else []))
    try:
        yield tag
    finally:
        docker("image", "rm", "--force", tag)


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    reason = missing_engine()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def image(engine: None) -> Iterator[str]:
    """The gateway's image, built from this checkout."""
    with built() as tag:
        yield tag


@pytest.fixture(scope="session")
def next_image(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The next version of the gateway: it does the same, under another name."""
    folder = tmp_path_factory.mktemp("next")
    (folder / "Dockerfile").write_text(f"FROM {image}\nLABEL version=next\n")
    with built(folder) as tag:
        yield tag


@pytest.fixture(scope="session")
def application_image(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image with an application that answers ``Second:…``, and has a say in room:members."""
    folder = tmp_path_factory.mktemp("application")
    (folder / "chat.py").write_text(APPLICATION)
    (folder / "Dockerfile").write_text(APPLICATION_IMAGE.format(image=image))
    with built(folder) as tag:
        yield tag


@pytest.fixture(scope="session")
def stack(image: str) -> Iterator[ComposeStack]:
    """What plain ``docker compose up`` starts. Who changes it puts it back by ``stack.up()``."""
    with ComposeStack(image, API_KEYS=API_KEY) as made:
        made.up()
        yield made


@pytest.fixture(scope="module")
def split(image: str) -> Iterator[ComposeStack]:
    """What the profile ``split`` starts."""
    with ComposeStack(image, profile="split", TOKEN_HMAC_SECRET_KEY=SECRET) as made:
        made.up()
        yield made


@pytest.fixture
def container(image: str) -> Iterator[str]:
    """The image alone, with nothing but its defaults, running."""
    found = docker("run", "--detach", "--cap-drop", "ALL", image).strip()
    try:
        yield found
    finally:
        docker("rm", "--force", found)


def probe(container: str, path: str) -> bool:
    """Whether the image's own probe is content with a path."""
    command = ["docker", "exec", container, "gateway-probe", path]
    return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
