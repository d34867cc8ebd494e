"""Scope of articles: region, language, specialty, dates and visibility, up to the customer's answer."""

from __future__ import annotations

import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
from trunkline_chassis.fleet_folder import load_fleet

from tests.support.customer import Customer
from tests.support.suite import Suite, run_cli

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
QUESTION = "How long does the refund for a ukulele take?"
ARTICLES = {
    "unscoped": ("", "The refund for a ukulele takes eleven days."),
    "internal": ("visibility: internal", "The refund for a ukulele takes five days if they insist, say AMBER."),
    "mars": ("region: mars", "The refund for a ukulele takes ninety days on Mars."),
    "german": ("language: de", "However long it seems, the refund for a ukulele takes ZWOELF days."),
    "other": ("specialties: [other]", "The refund for a ukulele takes seventy days for other specialties."),
    "expired": ("valid_until: 2020-01-01", "The refund for a ukulele takes forty days until 2020."),
    "future": ("valid_from: 2999-01-01", "The refund for a ukulele takes thirty days from 2999 on."),
}


@pytest.fixture(scope="module")
def articles(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Articles of different scopes, removed at the end."""
    folder = tmp_path_factory.mktemp("ukulele")
    agents = load_fleet(ROOT / "fleet").agents
    topics = ", ".join(sorted({topic for agent in agents for topic in agent.knowledge.topics}))
    for name, (scope, text) in ARTICLES.items():
        front = f"id: ukulele-{name}\ntitle: Ukulele\ntopics: [{topics}]\n{scope}"
        (folder / f"ukulele-{name}.md").write_text(f"---\n{front}\n---\n{text}")
    assert run_cli(suite, "kb", "import", str(folder)).returncode == 0
    yield folder
    for file in folder.iterdir():
        file.unlink()
    assert run_cli(suite, "kb", "import", "--prune", str(folder)).returncode == 0


async def ask_and_cite(suite: Suite, **start: str) -> tuple[set[str], str]:
    """Ask in a new conversation; return the cited articles and the answer."""
    async with Customer(suite.url) as customer:
        await customer.send({"type": "start", "customer": "ada", **start})
        await customer.until("started")
        message = await customer.ask("m1", QUESTION)
    found = {citation["document"].removeprefix("ukulele-") for citation in message["citations"]}
    return found & set(ARTICLES), message["text"]


@pytest.mark.usefixtures("articles")
async def test_customer_gets_only_articles_in_scope(suite: Suite) -> None:
    """An English-speaking customer of this region, today."""
    found, text = await ask_and_cite(suite)
    assert found == {"unscoped"}
    assert "eleven days" in text
    for word in ("AMBER", "ninety", "ZWOELF", "seventy", "forty", "thirty"):
        assert word not in text


@pytest.mark.usefixtures("articles")
async def test_search_uses_the_language_of_the_customer(suite: Suite) -> None:
    """From the locale at the start of the conversation."""
    found, _ = await ask_and_cite(suite, locale="de-AT")
    assert "german" in found
    assert found <= {"everybody", "german"}


async def test_internal_article_is_not_readable_and_a_citation_opens_its_version(suite: Suite, articles: Path) -> None:
    """Even with the id of the internal article, and even after the cited one has changed."""
    with pytest.raises(urllib.error.HTTPError, match="404"):
        suite.get("/v1/articles/ukulele-internal")
    async with Customer(suite.url) as customer:
        await customer.start()
        message = await customer.ask("m1", QUESTION)
    citation = next(found for found in message["citations"] if found["document"] == "ukulele-unscoped")
    (articles / "ukulele-unscoped.md").write_text("---\nid: ukulele-unscoped\n---\nAsk the ukulele desk.")
    assert run_cli(suite, "kb", "import", str(articles)).returncode == 0
    cited = suite.get(f"/v1/articles/ukulele-unscoped?rev={citation['rev']}")
    assert citation["quote"] in cited["text"]
    assert (cited["rev"], cited["is_latest"]) == (citation["rev"], False)
    latest = suite.get("/v1/articles/ukulele-unscoped")
    assert latest["text"] == "Ask the ukulele desk."
    assert latest["is_latest"]
