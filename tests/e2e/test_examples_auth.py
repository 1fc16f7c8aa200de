"""The examples of who a client is, each run for real as its README says."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from playwright.async_api import expect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.browser import WITHIN_MS, chromium
from tests.support.examples import EXAMPLES, connected
from tests.support.serve import ROOT, Served

SESSION = EXAMPLES / "session-cookie"
JWT = EXAMPLES / "jwt"
SECRET = "of the tests, 32 bytes and a few more"
SESSION_SECONDS = 10.0  # long enough for a browser to show what it shall
EXPIRED = (3005, "connection expired")
LATE_S = 15.0  # a busy machine included


class BelowWs(Served):
    """The gateway is mounted below /ws, and so is its readiness."""

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/communicate"

    readiness = "/ws/readyz"


# A session cookie


@pytest.fixture(scope="module")
def session_cookie(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("session")
    environment = {"SECRET": SECRET, "SESSION_SECONDS": str(int(SESSION_SECONDS))}
    with BelowWs(
        folder, "app:app", "--workers", "2", cwd=SESSION, environment=environment
    ) as served:
        yield served


async def test_a_browser_that_has_logged_in_is_greeted_until_its_session_ends(
    session_cookie: Served,
) -> None:
    async with chromium() as browser:
        page = await browser.new_page()
        await page.goto(session_cookie.url)
        said = page.get_by_role("status")
        await expect(said).to_have_text("4501 log in first", timeout=WITHIN_MS)

        await page.get_by_label("Your name").fill("Ann O'Neil")
        before = time.time()
        await page.get_by_role("button", name="Log in").click()
        logged_in_at = time.time()

        await expect(said).to_have_text("Hello Ann O'Neil, you say good day", timeout=WITHIN_MS)
        await expect(said).to_have_text("3005 connection expired", timeout=WITHIN_MS)
        assert time.time() - before >= SESSION_SECONDS - 1.0
        assert time.time() - logged_in_at <= SESSION_SECONDS + LATE_S


async def test_a_session_cookie_of_another_secret_lets_nobody_in(session_cookie: Served) -> None:
    from itsdangerous import TimestampSigner

    forged = TimestampSigner("a guess").sign(b"eyJ1c2VyIjogImFubiJ9").decode()
    cookie = {"Cookie": f"session={forged}"}
    async with connected(session_cookie.ws_url, additional_headers=cookie) as client:
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert (client.close_code, client.close_reason) == (4501, "log in first")


async def test_a_page_of_somebody_else_gets_no_socket(session_cookie: Served) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connected(session_cookie.ws_url, origin="https://evil.example"):
            pass

    assert refused.value.response.status_code == 403


# A JSON Web Token


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("tokens")
    with Served(
        folder, "app:gateway", "--workers", "2", cwd=JWT, environment={"SECRET": SECRET}
    ) as served:
        yield served


def issued(user: str, seconds: float, secret: str = SECRET) -> str:
    """A token, by the example's own command."""
    run = subprocess.run(
        [sys.executable, "issue.py", user, str(seconds)],
        cwd=JWT, env=os.environ | {"SECRET": secret, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    return run.stdout.strip()


async def test_a_token_in_the_header_says_who_it_is(tokens: Served) -> None:
    headers = {"Authorization": f"Bearer {issued('ann', 60)}"}
    async with connected(tokens.ws_url, additional_headers=headers) as client:
        await client.send("hello")

        assert await client.recv() == "ann says hello"


async def test_a_connection_ends_with_the_token_of_its_query(tokens: Served) -> None:
    before = time.time()
    token = issued("ann", 5.0)
    issued_at = time.time()
    async with connected(f"{tokens.ws_url}?token={token}") as client:
        await client.send("hello")
        assert await client.recv() == "ann says hello"
        async with asyncio.timeout(5.0 + LATE_S):
            await client.wait_closed()

    assert (client.close_code, client.close_reason) == EXPIRED
    assert time.time() - before >= 5.0 - 1.0
    assert time.time() - issued_at <= 5.0 + LATE_S


@pytest.mark.parametrize(
    ("seconds", "secret", "refusal"),
    [
        (-5.0, SECRET, (4401, "token expired")),
        (60.0, "a guess, as long as the other one", (4501, "no valid token")),
    ],
)
async def test_another_token_lets_nobody_in(
    tokens: Served, seconds: float, secret: str, refusal: tuple[int, str]
) -> None:
    token = issued("ann", seconds, secret)
    async with connected(f"{tokens.ws_url}?token={token}") as client:
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert (client.close_code, client.close_reason) == refusal


async def test_no_token_lets_nobody_in(tokens: Served) -> None:
    async with connected(tokens.ws_url) as client:
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert (client.close_code, client.close_reason) == (4501, "no valid token")
