"""Examples and the command heed refusals: a message is sent again under its id, after the time that is named."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import expect

from tests.examples.test_examples import EXAMPLES, TIMEOUT_MS
from tests.support.browser import open_browser
from tests.support.refusing_edge import ANSWER, serve_refusals
from tests.support.suite import trunkline

QUESTION = "How long do refunds take?"


@pytest.mark.processes
@pytest.mark.parametrize("client", ["example", "command"])
async def test_client_in_python_sends_a_refused_message_again(client: str, tmp_path: Path) -> None:
    """`examples/client.py` and `trunkline ask`."""
    async with serve_refusals() as edge:
        file = tmp_path / "client.py"
        file.write_text((EXAMPLES / "client.py").read_text("utf-8").replace("http://127.0.0.1:8080", edge.url), "utf-8")
        command = [sys.executable, str(file), QUESTION]
        if client == "command":
            command = [trunkline(), "ask", QUESTION, "--url", edge.url]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert ANSWER in done.stdout
        edge.assert_heeded()


@pytest.mark.browser
async def test_client_in_the_browser_sends_a_refused_message_again(tmp_path: Path) -> None:
    """`examples/client.html`, and a second message after the first one."""

    async def page_of_example(request: web.Request) -> web.FileResponse:
        del request
        return web.FileResponse(EXAMPLES / "client.html")

    async with serve_refusals(web.get("/", page_of_example)) as edge, open_browser(tmp_path / "profile") as page:
        await page.goto(edge.url)
        for _ in range(2):
            await page.get_by_label("Message").fill(QUESTION)
            await page.get_by_role("button").click()
            await expect(page.locator("pre")).to_contain_text(ANSWER, timeout=TIMEOUT_MS)
            await page.evaluate("document.querySelector('pre').textContent = ''")
        edge.assert_heeded(2)
