"""Fixtures: a real browser on a real suite."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from tests.support.suite import Suite

BROWSERS = ("chromium", "google-chrome", "chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A whole suite on embedded defaults."""
    running = Suite(tmp_path_factory.mktemp("suite"))
    try:
        yield running
    finally:
        assert running.stop() == 0


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    """A page with a fresh profile; any error in it fails the test."""
    async with open_browser(tmp_path / "profile") as page:
        yield page


@pytest.fixture
async def console(tmp_path: Path, suite: Suite) -> AsyncIterator[Page]:
    """The operators' page in a separate browser, used by Ada; any error in it fails the test."""
    async with open_browser(tmp_path / "desk") as page:
        await page.goto(f"{suite.url}/console")
        await page.evaluate("localStorage.setItem('trunkline.person', 'Ada')")
        await page.reload()
        yield page


@asynccontextmanager
async def open_browser(profile: Path) -> AsyncIterator[Page]:
    """Run a browser with the profile in a folder."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip("no Chromium on this machine: install it (apt-get install chromium) to test the page")
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            str(profile), executable_path=executable, headless=True, args=ARGUMENTS
        )
        page = context.pages[0] if context.pages else await context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        await context.close()
        assert not errors
