"""The read index."""

from __future__ import annotations

import numpy as np
from trunkline_rag.core.index import Index, Row
from trunkline_rag.core.question import read_question
from trunkline_rag.core.vector_index import MANY_ROWS, VectorIndex


def row(document: str, text: str, *, topics: tuple[str, ...] = (), tenant: str = "default") -> Row:
    return Row(document, tenant, document.title(), topics, "", text)


INDEX = Index(
    [
        row("refunds", "A duplicate charge is refunded within five days.", topics=("money",)),
        row("refunds", "A refund goes back to the card that paid.", topics=("money",)),
        row("refunds", "A refund is confirmed by a refund e-mail.", topics=("money",)),
        row("wifi", "Restart the router when the connection drops.", topics=("network",)),
        row("secret", "A refund of another company.", topics=("money",), tenant="other"),
    ]
)


def found(query: str, **options: object) -> list[str]:
    return [hit.row.document for hit in INDEX.search(read_question(query), **{"tenant": "default", **options})]  # type: ignore[arg-type]


def test_right_article_comes_first_whatever_the_form_of_the_words() -> None:
    """Stemmed, without stop words."""
    assert found("my connection dropping all the time, restarting routers")[0] == "wifi"
    assert found("charges duplicated")[0] == "refunds"


def test_one_article_does_not_fill_the_result() -> None:
    """At most two passages of each."""
    assert found("refund").count("refunds") == 2


def test_tenants_never_see_each_others_articles() -> None:
    """Nor does a tenant that has none."""
    assert found("refund", tenant="other") == ["secret"]
    assert found("refund", tenant="nobody") == []


def test_topics_are_preferred_and_left_when_they_hold_nothing_relevant() -> None:
    """A filter narrows, it does not blind."""
    assert set(found("router connection", topics=["network"])) == {"wifi"}
    assert found("router connection", topics=["money"])[0] == "wifi"
    assert set(found("refund", topics=["money", "unknown"])) == {"refunds"}


def test_score_is_the_covered_part_of_the_question() -> None:
    """What no article knows counts against it."""
    whole = INDEX.search(read_question("duplicate charge"), tenant="default")[0].score
    half = INDEX.search(read_question("duplicate charge on jupiter by submarine"), tenant="default")[0].score
    assert whole == 1.0
    assert 0 < half < 0.7


def test_long_story_finds_what_each_of_its_sentences_is_about() -> None:
    """One query a sentence."""
    story = "Yesterday my router lost its connection. Also there is a duplicate charge."
    assert set(found(story, limit=2)) == {"wifi", "refunds"}


def test_empty_index_and_empty_question_find_nothing() -> None:
    """No exception either."""
    assert Index([]).search(read_question("refund"), tenant="default") == []
    assert found("the and of") == []


def test_many_vectors_are_searched_as_few_are_and_never_outside_what_is_allowed() -> None:
    """The inverted file finds the row that is nearest, and keeps to one tenant's rows."""
    draw = np.random.default_rng(3)
    vectors = draw.normal(size=(MANY_ROWS, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    allowed = np.zeros(MANY_ROWS, dtype=np.bool_)
    allowed[::7] = True
    likeness = VectorIndex(vectors)
    asked = np.arange(0, MANY_ROWS, 7 * 300)
    found = likeness.nearest(vectors[asked], allowed, 10)
    assert [rows[0] for rows in found] == asked.tolist()
    assert all(row % 7 == 0 for rows in found for row in rows)
