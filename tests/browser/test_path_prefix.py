"""The pages below a path of a proxy, which removes the path from requests or keeps it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.support.browser import open_browser
from tests.support.chat_page import TIMEOUT_MS, expect_final_replies, send_message
from tests.support.nginx import documented_nginx
from tests.support.path_proxy import path_proxy
from tests.support.suite import Suite, run_cli

pytestmark = [pytest.mark.processes, pytest.mark.browser]

PREFIX = "/help/desk"
KEY = f"trunkline.conversation {PREFIX}/"
RETURN = "How many days do I have to return an item?"


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite that knows its path."""
    running = Suite(tmp_path_factory.mktemp("below"), {"TRUNKLINE_PATH_PREFIX": PREFIX})
    try:
        yield running
    finally:
        assert running.stop() == 0


@pytest.fixture(params=["keeps", "strips"])
async def proxied(request: pytest.FixtureRequest, below: Suite) -> AsyncIterator[tuple[Suite, str]]:
    """The suite and the address of a proxy in front of it."""
    target = below.url.removesuffix(PREFIX)
    async with path_proxy(target, PREFIX, strips=request.param == "strips") as url:
        yield below, url


def watch_requests(page: Page, prefix: str) -> list[str]:
    """Return a list that receives the address of every request that leaves the path."""
    strayed: list[str] = []
    page.on("request", lambda sent: None if sent.url.startswith((prefix, "data:")) else strayed.append(sent.url))
    page.on("websocket", lambda sent: None if prefix.partition(":")[2] in sent.url else strayed.append(sent.url))
    return strayed


async def test_customer_is_served_below_the_path(page: Page, proxied: tuple[Suite, str]) -> None:
    """Assets, socket, citation and a resume after a reload; the stored conversation belongs to the path."""
    _, url = proxied
    strayed = watch_requests(page, url)
    await page.goto(f"{url}/")
    await send_message(page, RETURN)
    await expect_final_replies(page, 1)
    await page.get_by_test_id("citation").first.click()
    await expect(page.get_by_test_id("passage").locator("mark").first).to_be_visible()
    await page.keyboard.press("Escape")
    assert await page.evaluate("key => localStorage.getItem(key) !== null", KEY)
    assert await page.evaluate("localStorage.getItem('trunkline.conversation')") is None
    await page.reload()
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "open", timeout=TIMEOUT_MS)
    await expect_final_replies(page, 1)
    assert strayed == []


async def test_operator_is_served_below_the_path(tmp_path: Path, proxied: tuple[Suite, str]) -> None:
    """The console and its API, with a token of the operator."""
    suite, url = proxied
    async with open_browser(tmp_path / "desk") as console:
        strayed = watch_requests(console, url)
        await console.goto(f"{url}/console")
        await console.evaluate("key => localStorage.setItem(key, 'Ada')", f"trunkline.person {PREFIX}/")
        token = {"key": f"trunkline.operator {PREFIX}/", "token": suite.operator_token}
        await console.evaluate("({key, token}) => sessionStorage.setItem(key, token)", token)
        await console.goto(f"{url}/console#suite")
        await console.reload()
        await expect(console.get_by_text("ingress-1", exact=True).first).to_be_visible(timeout=TIMEOUT_MS)
        assert strayed == []


async def test_link_to_the_console_has_the_path(tmp_path: Path, below: Suite) -> None:
    """It signs in, once."""
    assert below.console_link.startswith(f"{below.url}/console#link=")
    assert below.url.endswith(PREFIX)
    async with open_browser(tmp_path / "desk") as console:
        await console.goto(below.console_link)
        await console.locator("#tab-suite").click()
        await expect(console.get_by_text("ingress-1", exact=True).first).to_be_visible(timeout=TIMEOUT_MS)


async def test_path_without_its_slash_leads_to_the_page(page: Page, below: Suite) -> None:
    """With the parameters of the address."""
    await page.goto(f"{below.url}?tenant=default")
    assert page.url == f"{below.url}/?tenant=default"
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "open", timeout=TIMEOUT_MS)


def test_commands_take_an_address_with_a_path(below: Suite) -> None:
    """Of the socket and of the operators' API."""
    answered = run_cli(below, "ask", RETURN)
    assert answered.returncode == 0, answered.stderr
    assert run_cli(below, "status").returncode == 0


async def test_proxy_that_strips_the_path_needs_no_setting(page: Page, suite: Suite) -> None:
    """Every address in the pages is relative."""
    async with path_proxy(suite.url, PREFIX, strips=True) as url:
        strayed = watch_requests(page, url)
        await page.goto(f"{url}/")
        await send_message(page, RETURN)
        await expect_final_replies(page, 1)
        assert strayed == []


async def test_documented_configuration_of_nginx_serves_the_suite(page: Page, suite: Suite, tmp_path: Path) -> None:
    """Assets, socket and operators' API through the nginx of this machine, if it has one."""
    with documented_nginx(tmp_path, suite.url) as url:
        strayed = watch_requests(page, url)
        await page.goto(f"{url}/")
        await send_message(page, RETURN)
        await expect_final_replies(page, 1)
        assert strayed == []
        status = await page.request.get(f"{url}/v1/ops/status", headers=suite.operator_headers)
        assert (await status.json())["ready"] is True
        reply = await page.request.post(f"{url}/v1/ops/fleet", data="x" * 2**22, headers=suite.operator_headers)
        assert reply.status == 400
