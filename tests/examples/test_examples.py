"""The examples run as they stand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Route, expect
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_llm_gateway.adapters.config_file import load_config

from tests.support.browser import open_browser
from tests.support.suite import Suite

EXAMPLES = Path(__file__).parents[2] / "examples"
TIMEOUT_MS = 20_000


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite that runs the minimal fleet."""
    environment = {"TRUNKLINE_FLEET_DIR": str(EXAMPLES / "minimal-fleet")}
    running = Suite(tmp_path_factory.mktemp("examples"), environment)
    try:
        yield running
    finally:
        assert running.stop() == 0


def test_minimal_fleet_fits_on_one_screen() -> None:
    """Two agents and three articles, all of them valid."""
    fleet = load_fleet(EXAMPLES / "minimal-fleet")
    assert [agent.name for agent in fleet.agents] == ["boats", "reception"]
    assert len(list((EXAMPLES / "minimal-fleet" / "knowledge").rglob("*.md"))) == 3


@pytest.mark.parametrize("file", sorted((EXAMPLES / "models").glob("*.toml")), ids=lambda file: file.stem)
def test_model_configuration_is_valid(file: Path) -> None:
    """Read by the gateway's own loader."""
    assert load_config(file).provider


@pytest.mark.processes
def test_python_client_prints_the_answer_and_its_citation(suite: Suite, tmp_path: Path) -> None:
    """The client is run against another address by its only constant."""
    client = tmp_path / "client.py"
    client.write_text((EXAMPLES / "client.py").read_text("utf-8").replace("http://127.0.0.1:8080", suite.url), "utf-8")
    done = subprocess.run(
        [sys.executable, str(client), "What does a kayak cost?"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "12 euros an hour" in done.stdout
    assert "Prices and deposit" in done.stdout


def test_python_client_fits_on_one_screen() -> None:
    """Short enough to be read before it is copied."""
    assert len((EXAMPLES / "client.py").read_text("utf-8").splitlines()) <= 60


@pytest.mark.processes
@pytest.mark.browser
async def test_browser_client_shows_the_answer_and_its_citation(suite: Suite, tmp_path: Path) -> None:
    """The page has the origin of the suite, which the WebSocket requires."""

    async def fulfil(route: Route) -> None:
        await route.fulfill(path=EXAMPLES / "client.html", content_type="text/html")

    async with open_browser(tmp_path / "profile") as page:
        # Chromium takes an intercepted page for a public one, which needs permission to connect to this machine.
        await page.context.grant_permissions(["local-network-access"], origin=suite.url)
        await page.route(f"{suite.url}/example", fulfil)
        await page.goto(f"{suite.url}/example")
        await page.get_by_label("Message").fill("Can I cancel my booking?")
        await page.get_by_role("button").click()
        await expect(page.locator("pre")).to_contain_text("two hours before it begins", timeout=TIMEOUT_MS)
        await expect(page.locator("pre")).to_contain_text("Change or cancel a booking")
