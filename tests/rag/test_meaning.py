"""Ranking by evidence: meaning and words together, topics, follow-ups, and scores of sentences."""

from __future__ import annotations

import numpy as np
import pytest
from trunkline_language.sentences import sentences
from trunkline_rag.application.passage_embedding import embed_passages
from trunkline_rag.core.index import Index, SearchHit
from trunkline_rag.core.passage_row import PassageRow
from trunkline_rag.core.question import SearchQuestion, read_question
from trunkline_rag.core.relevance import probability
from trunkline_rag.core.vector_index import VectorIndex

from tests.support.embedders import WordEmbedder

EMBEDDER = WordEmbedder()
TEXTS = {
    "parcels": "A parcel arrives within three days. Track the parcel in the app.",
    "refunds": "A refund takes five days. The refund goes to your card.",
    "router": "Error E3 means no signal. Error E5 means old firmware.",
}
ROWS, VECTORS = embed_passages(
    [PassageRow(name, "default", name.title(), (name,), "", text) for name, text in TEXTS.items()], EMBEDDER
)
assert VECTORS is not None
INDEX = Index(ROWS).with_vectors(VectorIndex(VECTORS))


def asked(text: str) -> SearchQuestion:
    return read_question(text).with_vector(EMBEDDER.embed([text])[0])


def search(question: SearchQuestion, *topics: str) -> list[SearchHit]:
    return INDEX.search(question, tenant="default", topics=topics)


def test_best_article_leads_and_every_sentence_has_a_score() -> None:
    """The sentence that answers has the highest one."""
    best = search(asked("a parcel arrives within"))[0]
    assert best.row.document == "parcels"
    assert len(best.sentence_scores) == len(sentences(best.row.text)) == 2
    assert best.sentence_scores[0] > best.sentence_scores[1]


def test_question_without_a_vector_is_ranked_by_its_words() -> None:
    """Hits have no scores of sentences then."""
    hit = search(read_question("refund"))[0]
    assert (hit.row.document, hit.sentence_scores) == ("refunds", [])


def test_passage_without_sentences_counts_by_its_own_similarity() -> None:
    """A table has none; other passages keep those of their own sentences."""
    table = PassageRow("sizes", "default", "Sizes", (), "", "| lamp | width |\n|---|---|\n| Aura | 12 cm |")
    rows, vectors = embed_passages([*ROWS[:1], table, *ROWS[1:]], EMBEDDER)
    assert vectors is not None
    index = Index(rows).with_vectors(VectorIndex(vectors))
    found = {hit.row.document: hit for hit in index.search(asked("lamp width sizes"), tenant="default")}
    assert found["sizes"].sentence_scores == []
    best = index.search(asked("error e5 means"), tenant="default")[0]
    assert best.row.document == "router"
    assert best.sentence_scores[1] > best.sentence_scores[0]


def test_topics_are_a_preference() -> None:
    """Another article wins with clearly more evidence only."""
    even = asked("a parcel or a refund")
    assert search(even, "refunds")[0].row.document == "refunds"
    assert search(even, "parcels")[0].row.document == "parcels"
    assert search(asked("a parcel arrives within three days"), "refunds")[0].row.document == "parcels"


def test_follow_up_stays_with_the_article_of_the_answer_before_it() -> None:
    """And the question before it counts."""
    follow_up = asked("and how long does that take, in days")
    assert follow_up.vector is not None
    focused = SearchQuestion(
        follow_up.text,
        follow_up.sentences,
        follow_up.terms,
        None,
        follow_up.vector,
        asked("router"),
        frozenset({"router"}),
    )
    assert search(focused)[0].row.document == "router"
    assert search(follow_up)[0].row.document != "router"


@pytest.mark.parametrize("evidence", np.linspace(-2, 4, 13).tolist())
def test_probability_grows_with_evidence(evidence: float) -> None:
    """It stays between 0 and 1."""
    assert 0 < probability(evidence) < probability(evidence + 0.1) < 1
