"""Topics: the link between agents and articles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

import msgspec

from trunkline_cli.fleet.core.articles import ArticleEntry
from trunkline_cli.fleet.core.definitions import Definitions
from trunkline_cli.fleet.core.findings import Finding


def topic_findings(
    definitions: Definitions, articles: list[ArticleEntry], refused: Iterable[Finding]
) -> Iterator[Finding]:
    """Yield topics of agents without an article, topics of articles without an agent, and articles without a topic.

    A `refused` article counts for the topic that its folder names.
    """
    yield from _without_article(definitions, articles, refused)
    is_known = definitions.are_known("knowledge")
    named = {topic for agent in definitions.agents for topic in agent.record.knowledge.topics}
    for entry in articles:
        for topic in entry.document.topics:
            if is_known and topic not in named:
                yield entry.finding("topics", f"no agent names the topic {topic!r}", "topic-without-agent")
        if not entry.document.topics:
            yield _without_topic(entry)


def _without_article(
    definitions: Definitions, articles: list[ArticleEntry], refused: Iterable[Finding]
) -> Iterator[Finding]:
    path = ("knowledge", "topics")
    known = {topic for entry in articles for topic in entry.document.topics}
    known |= {PurePosixPath(finding.file).parent.name for finding in refused}
    for agent in definitions.agents:
        topics = agent.record.knowledge.topics
        for topic, line in zip(topics, agent.item_lines(path, topics), strict=True):
            if topic not in known:
                reason = f"no article has the topic {topic!r}"
                finding = agent.finding(path, reason, severity="warning", rule="topic-without-article")
                yield msgspec.structs.replace(finding, line=line)


def _without_topic(entry: ArticleEntry) -> Finding:
    """Return a warning for an article without topics, a note if its format has none."""
    found = "no topics" if entry.has_topics_field else "this format has no topics"
    reason = f"{found}: agents search the article only if nothing in their own topics fits"
    finding = entry.finding("topics", reason, "article-without-topic")
    return finding if entry.has_topics_field else msgspec.structs.replace(finding, severity="note")
