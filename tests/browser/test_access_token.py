"""The chat page in a frame of a host page, which gives it the customer's access token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from playwright.async_api import FrameLocator, Page, expect

from tests.support.chat_page import TIMEOUT_MS
from tests.support.suite import Suite

pytestmark = [pytest.mark.processes, pytest.mark.browser]

SECRET = "a secret of thirty-two characters or more"
QUESTION = "How many days do I have to return an item?"
HOST_PAGE = """<!doctype html><title>Shop</title><script>
addEventListener('message', async ({{source, data}}) => {{
  if (data.type !== 'trunkline.token_request') return;
  const token = await (await fetch('/token')).text();
  source.postMessage({{type: 'trunkline.token', token}}, '{suite}');
}});
</script><iframe src="{suite}/" style="width: 100%; height: 90vh"></iframe>"""


class Shop:
    """A web shop whose page shows the chat."""

    def __init__(self, suite: str, origin: str) -> None:
        self.suite = suite
        self.origin = origin
        self.life_s = 600.0
        self.issued = 0
        self.customer = "ada"

    async def page(self, _: web.Request) -> web.Response:
        """Return the host page."""
        return web.Response(text=HOST_PAGE.format(suite=self.suite), content_type="text/html")

    async def token(self, _: web.Request) -> web.Response:
        """Return an access token of the customer who is signed in."""
        self.issued += 1
        claims = {"sub": self.customer, "tier": "gold", "exp": time.time() + self.life_s}
        return web.Response(text=jwt.encode(claims, SECRET, algorithm="HS256"))


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """A running shop with a suite of its own, whose customers are authenticated."""
    port = unused_port()
    origin = f"http://127.0.0.1:{port}"
    environment = {"TRUNKLINE_AUTH_SECRET": SECRET, "TRUNKLINE_EDGE_EMBED_ORIGINS": origin}
    suite = await asyncio.to_thread(Suite, tmp_path / "suite", environment)
    shop = Shop(suite.url, origin)
    app = web.Application()
    app.add_routes([web.get("/", shop.page), web.get("/token", shop.token)])
    try:
        async with TestServer(app, port=port):
            yield shop
    finally:
        assert await asyncio.to_thread(suite.stop) == 0


async def ask(chat: FrameLocator, count: int) -> None:
    """Send a message and wait until the chat shows as many answers."""
    await chat.get_by_test_id("composer").fill(QUESTION)
    await chat.get_by_test_id("composer").press("Enter")
    await expect(chat.locator('[data-testid="reply"][data-final="true"]')).to_have_count(count, timeout=TIMEOUT_MS)


async def test_chat_in_a_frame_uses_the_token_of_its_host_page(page: Page, shop: Shop) -> None:
    """Through a reconnect after the token has expired, and for the article of a citation."""
    shop.life_s = 3.0
    await page.goto(shop.origin)
    chat = page.frame_locator("iframe")
    for count in (1, 2):
        await ask(chat, count)
        async with asyncio.timeout(TIMEOUT_MS / 1000):
            while shop.issued <= count:
                await asyncio.sleep(0.05)
    shop.life_s = 600.0
    await chat.get_by_test_id("citation").first.click()
    await expect(chat.locator("#passage-article mark").first).to_be_visible(timeout=TIMEOUT_MS)
    await page.goto("about:blank")  # The host page must not request a token of a server that has stopped.


async def test_customer_does_not_see_the_conversation_of_another_one(page: Page, shop: Shop) -> None:
    """Neither after a new start of the page, nor if the host page signs another customer in while it is shown."""
    await page.goto(shop.origin)
    chat = page.frame_locator("iframe")
    own = chat.get_by_test_id("own-message")
    await ask(chat, 1)
    await page.reload()
    await expect(own).to_have_count(1, timeout=TIMEOUT_MS)

    shop.customer = "bob"
    await page.reload()
    await expect(chat.get_by_test_id("welcome")).to_be_visible(timeout=TIMEOUT_MS)
    await expect(own).to_have_count(0)
    await ask(chat, 1)

    shop.customer = "cleo"
    await page.evaluate(
        """async (suite) => frames[0].postMessage(
            {type: 'trunkline.token', token: await (await fetch('/token')).text()}, suite)""",
        shop.suite,
    )
    await expect(chat.get_by_test_id("welcome")).to_be_visible(timeout=TIMEOUT_MS)
    await expect(own).to_have_count(0)
    await ask(chat, 1)
    await expect(own).to_have_count(1)
    await page.goto("about:blank")
