"""The in-process search index."""

from __future__ import annotations

from typing import Any

import numpy as np
from trunkline_rag.core.index import Index
from trunkline_rag.core.passage_row import PassageRow
from trunkline_rag.core.question import read_question
from trunkline_rag.core.scope import SearchAudience
from trunkline_rag.core.vector_index import MIN_CLUSTERED_ROWS, VectorIndex


def row(document: str, text: str, *, topics: tuple[str, ...] = (), tenant: str = "default") -> PassageRow:
    return PassageRow(document, tenant, document.title(), topics, "", text)


INDEX = Index(
    [
        row("refunds", "A duplicate charge is refunded within five days.", topics=("money",)),
        row("refunds", "A refund goes back to the card that paid.", topics=("money",)),
        row("refunds", "A refund is confirmed by a refund e-mail.", topics=("money",)),
        row("wifi", "Restart the router when the connection drops.", topics=("network",)),
        row("secret", "A refund of another company.", topics=("money",), tenant="other"),
    ]
)


def found(query: str, **options: Any) -> list[str]:
    return [hit.row.document for hit in INDEX.search(read_question(query), **{"tenant": "default", **options})]


def test_right_article_comes_first_regardless_of_inflection() -> None:
    """Terms are stemmed, and stop words are ignored."""
    assert found("my connection dropping all the time, restarting routers")[0] == "wifi"
    assert found("charges duplicated")[0] == "refunds"


def test_one_article_does_not_fill_the_result() -> None:
    """At most two passages per article."""
    assert found("refund").count("refunds") == 2


def test_tenants_never_see_each_others_articles() -> None:
    """Nor does a tenant without articles."""
    assert found("refund", tenant="other") == ["secret"]
    assert found("refund", tenant="unknown") == []


def test_topics_are_preferred_unless_they_contain_nothing_relevant() -> None:
    """Topics narrow a search without hiding the only relevant article."""
    assert set(found("router connection", topics=["network"])) == {"wifi"}
    assert found("router connection", topics=["money"])[0] == "wifi"
    assert set(found("refund", topics=["money", "unknown"])) == {"refunds"}


def test_score_is_the_covered_share_of_the_question() -> None:
    """Terms that no article contains lower the score."""
    whole = INDEX.search(read_question("duplicate charge"), tenant="default")[0].score
    half = INDEX.search(read_question("duplicate charge on jupiter by submarine"), tenant="default")[0].score
    assert whole == 1.0
    assert 0 < half < 0.7


def test_long_message_finds_an_article_for_each_of_its_sentences() -> None:
    """Each sentence is a query of its own."""
    story = "Yesterday my router lost its connection. Also there is a duplicate charge."
    assert set(found(story, limit=2)) == {"wifi", "refunds"}


def test_empty_index_and_empty_question_find_nothing() -> None:
    """Neither raises."""
    assert Index([]).search(read_question("refund"), tenant="default") == []
    assert found("the and of") == []


def test_clustered_vector_search_finds_the_nearest_allowed_rows() -> None:
    """The inverted file finds the nearest row, and only rows that are allowed."""
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(MIN_CLUSTERED_ROWS, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    allowed = np.zeros(MIN_CLUSTERED_ROWS, dtype=np.bool_)
    allowed[::7] = True
    queries = np.arange(0, MIN_CLUSTERED_ROWS, 7 * 300)
    found = VectorIndex(vectors).nearest(vectors[queries], allowed, 10)
    assert [rows[0] for rows in found] == queries.tolist()
    assert all(row % 7 == 0 for rows in found for row in rows)


def test_excluded_topics_are_not_found() -> None:
    """Neither by words nor by the ranks of the store, although nothing else fits."""
    audience = SearchAudience(excluded_topics=frozenset({"money"}))
    assert found("How is a duplicate charge refunded?") != []
    assert found("How is a duplicate charge refunded?", audience=audience) == []
    question = read_question("How is a duplicate charge refunded?")
    ranks = [[("refunds", 0), ("wifi", 0)]]
    hits = INDEX.hits_from_ranks(ranks, question, tenant="default", audience=audience, limit=5)
    assert [hit.row.document for hit in hits] == ["wifi"]
