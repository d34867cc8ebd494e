"""Fixtures: a real browser on a real suite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.support.browser import open_browser
from tests.support.console_page import waiting_conversation
from tests.support.suite import Suite


@pytest.fixture(scope="package")
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
        await page.evaluate("token => sessionStorage.setItem('trunkline.operator', token)", suite.operator_token)
        await page.reload()
        yield page


@pytest.fixture
async def waiting(page: Page, suite: Suite) -> AsyncIterator[str]:
    """A conversation on `page` with one answer that waits for a person."""
    async with waiting_conversation(page, suite) as conversation:
        yield conversation
