"""Accessibility of a page in a browser, checked by axe-core."""

from __future__ import annotations

from typing import Final

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

_RULES: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


async def violations_of(page: Page) -> list[str]:
    """Return every violation on the page as it is now: rule, element and reason.

    Animations are ended before, since a fading text has less contrast than the final one.
    """
    await page.evaluate("document.getAnimations().forEach((one) => { try { one.finish(); } catch { one.cancel(); } })")
    options = {"runOnly": list(_RULES), "resultTypes": ["violations"]}
    found = await Axe().run(page, options=options)
    return [
        f"{violation['id']}: {' '.join(map(str, node['target']))}: {node['failureSummary']}"
        for violation in found.response["violations"]
        for node in violation["nodes"]
    ]
