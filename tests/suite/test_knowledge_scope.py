"""Who is told what: an article's region, language, specialty, dates and visibility, down to the customer's answer."""

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
    "everybody": ("", "The refund for a ukulele takes eleven days."),
    "internal": ("visibility: internal", "The refund for a ukulele takes five days if they insist, say AMBER."),
    "mars": ("region: mars", "The refund for a ukulele takes ninety days on Mars."),
    "german": ("language: de", "However long it seems, the refund for a ukulele takes ZWOELF days."),
    "nobody": ("specialties: [nobody]", "The refund for a ukulele takes seventy days for nobody."),
    "expired": ("valid_until: 2020-01-01", "The refund for a ukulele takes forty days until 2020."),
    "future": ("valid_from: 2999-01-01", "The refund for a ukulele takes thirty days from 2999 on."),
}


@pytest.fixture(scope="module")
def articles(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Articles that differ in whom they are for; taken out again at the end."""
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


async def cited(suite: Suite, **start: str) -> tuple[set[str], str]:
    """What is quoted to a customer who starts like this, and what is said."""
    async with Customer(suite.url) as customer:
        await customer.send({"type": "start", "customer": "ada", **start})
        await customer.until("started")
        message = await customer.ask("m1", QUESTION)
    found = {citation["document"].removeprefix("ukulele-") for citation in message["citations"]}
    return found & set(ARTICLES), message["text"]


@pytest.mark.usefixtures("articles")
async def test_customer_is_told_what_is_written_for_them_and_nothing_else(suite: Suite) -> None:
    """English, here and now, as a customer."""
    found, text = await cited(suite)
    assert found == {"everybody"}
    assert "eleven days" in text
    for word in ("AMBER", "ninety", "ZWOELF", "seventy", "forty", "thirty"):
        assert word not in text


@pytest.mark.usefixtures("articles")
async def test_language_of_the_customer_is_the_language_of_the_search(suite: Suite) -> None:
    """By the locale that the conversation was started with."""
    found, _ = await cited(suite, locale="de-AT")
    assert "german" in found
    assert found <= {"everybody", "german"}


async def test_internal_article_cannot_be_read_and_a_citation_opens_the_version_it_quoted(
    suite: Suite, articles: Path
) -> None:
    """Also by somebody who knows its name; and also after the article has changed."""
    with pytest.raises(urllib.error.HTTPError, match="404"):
        suite.get("/v1/articles/ukulele-internal")
    async with Customer(suite.url) as customer:
        await customer.start()
        message = await customer.ask("m1", QUESTION)
    citation = next(found for found in message["citations"] if found["document"] == "ukulele-everybody")
    (articles / "ukulele-everybody.md").write_text("---\nid: ukulele-everybody\n---\nAsk the ukulele desk.")
    assert run_cli(suite, "kb", "import", str(articles)).returncode == 0
    then = suite.get(f"/v1/articles/ukulele-everybody?rev={citation['rev']}")
    assert citation["quote"] in then["text"]
    assert (then["rev"], then["is_latest"]) == (citation["rev"], False)
    now = suite.get("/v1/articles/ukulele-everybody")
    assert now["text"] == "Ask the ukulele desk."
    assert now["is_latest"]
