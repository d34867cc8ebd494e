"""Citations of a model's answer: each mark is checked against its passage."""

from __future__ import annotations

from typing import Any

import pytest
from trunkline_llm_gateway.core.citations import citations
from trunkline_protocols.knowledge import Passage

REFUNDS = (
    "Refunds to cards arrive 3 to 5 working days after the confirmation e-mail. "
    "If the bank has **rejected** the refund, we pay it again within 2 working days."
)
RETURNS = "You can return most products within 30 days of delivery. Use the box that the product came in."
CODES = "Error E5 means that the filter is full. Clean the filter under the tap and start the machine again."


def passage(
    text: str, *, document: str = "a", score: float = 0.9, scores: tuple[float, ...] = (), **more: Any
) -> Passage:
    return Passage(
        document=document, title=document.title(), text=text, score=score, sentence_scores=list(scores), rev=3, **more
    )


def cited(answer: str, *passages: Passage) -> list[tuple[int, str]]:
    """Return mark and quote of the citations."""
    return [(citation.mark, citation.quote) for citation in citations(answer, passages)]


@pytest.mark.parametrize(
    ("statement", "quote"),
    [
        ("With a card it takes three to five working days", "Refunds to cards arrive 3 to 5"),
        ("If your bank refused the transfer, we send it again in two working days", "If the bank has **rejected**"),
        ("You have 30 days to send it back", None),
        ("We also offer students a discount of ten percent", None),
        ("Our technicians visit you at home on the next day", None),
        ("Thank you for your patience", None),
    ],
)
def test_quote_must_support_the_statement_before_its_mark(statement: str, quote: str | None) -> None:
    """In other words too; a quote about something else is dropped."""
    found = cited(f"Hello. {statement} [1].", passage(REFUNDS))
    assert [citation[1].startswith(quote or "") for citation in found] == ([True] if quote else [])


def test_only_the_sentence_beside_a_mark_counts() -> None:
    """An earlier sentence with another mark, or with none, does not make a quote fit."""
    returns, refunds = passage(RETURNS), passage(REFUNDS, document="b")
    supported = "You can return products within 30 days of delivery"
    assert [mark for mark, _ in cited(f"{supported} [1]. Gift cards never expire [1].", returns)] == [1]
    assert cited(f"{supported}. Gift cards never expire at all [1].", returns) == []
    assert [
        mark for mark, _ in cited(f"{supported} [2]. Card refunds arrive after 3 working days [2].", returns, refunds)
    ] == [2]


def test_short_sentence_is_read_with_the_one_before_it() -> None:
    """It has too few terms to be checked alone."""
    assert cited("You can return products within 30 days of delivery. Really! [1]", passage(RETURNS)) == [
        (1, "You can return most products within 30 days of delivery.")
    ]


def test_several_marks_behind_a_statement_are_checked_one_by_one() -> None:
    """Side by side or in one bracket; each number names its passage."""
    passages = [passage(RETURNS), passage(REFUNDS, document="b"), passage(RETURNS, document="c")]
    for marks in ("[1][2][3]", "[1, 2; 3]", "[3] [1]"):
        found = cited(f"Products can be returned within 30 days {marks}.", *passages)
        assert sorted(mark for mark, _ in found) == [1, 3]


def test_improbable_article_needs_more_of_the_statement() -> None:
    """Words alone carry the citation if the search did not expect the article."""
    loose = "If the bank rejected it, write to the shop and wait for some time"
    close = "If the bank has rejected a refund, it is paid again"
    assert len(cited(f"{loose} [1].", passage(REFUNDS, score=0.6))) == 1
    assert cited(f"{loose} [1].", passage(REFUNDS, score=0.4)) == []
    assert len(cited(f"{close} [1].", passage(REFUNDS, score=0.4))) == 1


def test_sentence_with_other_numbers_must_be_closer() -> None:
    """Words such as "within" and "days" are shared by sentences about anything."""
    assert cited("Products can be returned within 30 days [1].", passage(REFUNDS)) == []
    assert len(cited("If the bank has rejected the refund, we pay it again within 9 days [1].", passage(REFUNDS))) == 1


def test_sentence_about_another_code_supports_nothing() -> None:
    """E5 is not E2."""
    assert len(cited("Error E5 means that the filter is full [1].", passage(CODES))) == 1
    assert cited("Error E2 means that the filter is full [1].", passage(CODES)) == []


def test_answer_in_another_language_is_supported_by_a_probable_article() -> None:
    """Words cannot be compared: the best sentence of the passage is quoted."""
    french = "Vous pouvez renvoyer l'article pendant ce temps et nous vous remboursons"
    scored = passage(RETURNS, scores=(0.4, 1.2))
    assert cited(f"{french} [1].", scored) == [(1, "Use the box that the product came in.")]
    assert cited(f"{french} [1].", passage(RETURNS, score=0.4, scores=(0.4, 1.2))) == []
    french_article = passage("La livraison dure deux jours et ne vous coûte rien.")
    assert cited(f"{french} [1].", french_article) == []


def test_of_equally_close_sentences_the_one_that_answers_better_is_quoted() -> None:
    """By the scores of the search."""
    text = "The refund takes 5 days by card. The refund takes 5 days by bank."
    assert cited("Your refund takes 5 days [1].", passage(text, scores=(1.0, 2.0)))[0][1].endswith("bank.")
    assert cited("Your refund takes 5 days [1].", passage(text))[0][1].endswith("card.")


def test_internal_passage_is_never_quoted() -> None:
    """Whatever the model cites."""
    assert cited("You can return products within 30 days [1].", passage(RETURNS, internal=True)) == []


def test_citation_names_document_title_version_and_mark() -> None:
    """The page finds the article and the place of its number by them; the statement is without markup and marks."""
    (found,) = citations(
        "Look [9]. It is **E5**: the filter is full [2].", [passage(RETURNS), passage(CODES, document="errors")]
    )
    assert (found.document, found.title, found.rev, found.mark) == ("errors", "Errors", 3, 2)
    assert found.statement == "It is E5: the filter is full"
    assert found.quote in CODES
