"""The modules of the pages, imported by a browser without a suite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trunkline_ingress
from playwright.async_api import Page, Route

from tests.support.browser import open_browser

PAGE: Final = Path(trunkline_ingress.__file__).parent / "page"
"""The folder of the pages."""

_ORIGIN: Final = "http://modules.test"


@asynccontextmanager
async def open_modules(profile: Path) -> AsyncIterator[Page]:
    """Open an empty page whose origin serves the folder of the pages."""

    async def serve(route: Route) -> None:
        path = route.request.url.removeprefix(_ORIGIN + "/")
        if path:
            await route.fulfill(path=PAGE / path, content_type="text/javascript")
        else:
            await route.fulfill(body="<!doctype html>", content_type="text/html")

    async with open_browser(profile) as page:
        await page.route(f"{_ORIGIN}/**", serve)
        await page.goto(f"{_ORIGIN}/")
        yield page


async def run_module(page: Page, module: str, body: str, argument: object = None) -> Any:
    """Run a function body with the module as `m` and the argument as `x`."""
    return await page.evaluate(f"async (x) => {{ const m = await import('/{module}'); {body} }}", argument)
