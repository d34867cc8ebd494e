"""Extractive answers by scores of sentences: which sentences, in which order, of which articles, and when none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from trunkline_llm_gateway.adapters.extractive import ExtractiveProvider
from trunkline_llm_gateway.core.extractive import compose, score_needed
from trunkline_protocols.completion import Complete
from trunkline_protocols.context import Utterance
from trunkline_protocols.knowledge import Passage

LONG = "A long sentence that says what there is to say about a thing, and a little more than that, for its length."
STEPS = "Check the light. Restart the router. Call us."


def passage(text: str, scores: list[float], *, document: str = "a", score: float = 0.9, **more: Any) -> Passage:
    return Passage(document=document, title=document.title(), text=text, score=score, sentence_scores=scores, **more)


def quotes(question: str, *passages: Passage, **options: Any) -> list[str]:
    return compose(question, list(passages), **options).parts


def test_sentences_of_the_best_passage_are_quoted_in_reading_order() -> None:
    """Also if the best one is not the first."""
    assert quotes("router?", passage(STEPS, [1.0, 2.0, 1.2])) == ["Check the light.", "Restart the router.", "Call us."]


def test_sentence_of_another_passage_needs_a_score_close_to_the_best() -> None:
    """The passage with the best sentence leads."""
    best, near, far = passage("Best.", [2.0]), passage("Near.", [1.8]), passage("Far.", [1.0])
    assert quotes("x?", far, best, near) == ["Best.", "Near."]


def test_answer_ends_at_its_length() -> None:
    """No sentence is cut."""
    text = " ".join([LONG] * 8)
    assert quotes("x?", passage(text, [1.0] * 8)) == [LONG] * 4


def test_second_article_is_quoted_if_it_is_almost_as_probable() -> None:
    """Which of them answers is not certain."""
    first = passage("First.", [2.0], score=0.8)
    assert quotes("x?", first, passage("Second.", [1.0], document="b", score=0.75)) == ["First.", "Second."]
    assert quotes("x?", first, passage("Second.", [1.0], document="b", score=0.55)) == ["First."]


@pytest.mark.parametrize(
    ("passages", "options"),
    [
        ([passage("Improbable.", [1.0], score=0.4)], {}),
        ([passage("Certain.", [1.0], score=0.8)], {"min_score": 0.9}),
        ([passage("Internal.", [1.0], internal=True)], {}),
        ([passage("E3 means no signal.", [1.0])], {"question": "What does E9 mean?"}),
        ([], {}),
    ],
)
def test_nothing_is_quoted_without_a_probable_article(passages: list[Passage], options: dict[str, Any]) -> None:
    """Below the floor, an internal one, or one about another code."""
    assert quotes(options.pop("question", "x?"), *passages, **options) == []


def test_message_that_looks_off_topic_needs_an_article_that_is_certain_to_fit() -> None:
    """The more so, the more it does."""
    assert score_needed("") < score_needed("perhaps_off_topic") < score_needed("off_topic") < 1


def test_sentence_about_another_code_is_left_out() -> None:
    """Its neighbour is about another error."""
    assert quotes("E5?", passage("E3 means no signal. E5 means old firmware.", [2.0, 1.9])) == [
        "E5 means old firmware."
    ]


def test_each_of_several_questions_is_answered_or_declined() -> None:
    """A declined one is named."""
    found = passage("First.", [1.0], part=0)
    answer = compose("both", [found], parts=["What is the first?", "What is the second?"])
    assert answer.parts[0] == "First."
    assert "“What is the second?”" in answer.parts[1]
    assert [citation.document for citation in answer.citations] == ["a"]
    assert compose("both", [], parts=["What is the first?", "What is the second?"]).parts == []


async def test_advice_that_did_not_help_is_not_repeated() -> None:
    """The next sentences follow, then the offer of a person."""
    from trunkline_llm_gateway.ports import Call  # noqa: PLC0415

    emitted: list[str] = []

    async def emit(piece: str) -> None:
        emitted.append(piece)

    transcript = [Utterance(role="agent", text="Check the light.", specialty="technical")]
    request = Complete(
        instructions="i",
        text="did not help",
        intent="not_helped",
        transcript=transcript,
        passages=[passage(STEPS, [2.0, 1.9, 1.8])],
        abstain="?",
    )
    result = await ExtractiveProvider().complete(Call(request, "m"), emit)
    text = "".join(emitted)
    assert text.startswith("Restart the router. Call us.")
    assert "a person takes over" in text
    assert not result.abstained


async def said_after(answer: str, request: Complete) -> tuple[str, bool]:
    """Return what the provider says after an answer to another question, and whether it abstains."""
    from trunkline_llm_gateway.ports import Call  # noqa: PLC0415

    emitted: list[str] = []

    async def emit(piece: str) -> None:
        emitted.append(piece)

    transcript = [
        Utterance(role="customer", text="The router?"),
        Utterance(role="agent", text=answer, specialty="technical"),
    ]
    asked = msgspec.structs.replace(request, transcript=transcript)
    result = await ExtractiveProvider().complete(Call(asked, "m"), emit)
    return "".join(emitted), result.abstained


async def test_answer_that_was_just_given_is_not_given_again() -> None:
    """Its best sentences are, with the next best ones, or a question. A repeated question gets the same answer."""
    steps = [f"{name} {LONG}" for name in ("First:", "Second:", "Third:", "Fourth:", "Fifth:")]
    answer = " ".join(steps[:4])
    request = Complete(instructions="i", text="and then?", abstain="?", passages=[])
    request = msgspec.structs.replace(request, passages=[passage(" ".join(steps), [2.0, 1.9, 1.8, 1.7, 1.6])])
    assert await said_after("Hello.", request) == (answer, False)
    assert await said_after(answer, request) == (f"{steps[0]} {steps[1]} {steps[4]}", False)
    assert await said_after(answer, msgspec.structs.replace(request, text="the router? ")) == (answer, False)
    short = msgspec.structs.replace(request, passages=[passage(STEPS, [2.0, 1.9, 1.8])])
    text, abstained = await said_after(STEPS, short)
    assert (
        text
        == "Check the light. Restart the router. If you mean something else, tell me what exactly you need to know."
    )
    assert not abstained


async def test_words_are_compared_with_typing_mistakes_corrected() -> None:
    """The knowledge service has found the passage by the corrected words too."""
    found = Passage(document="a", title="Money", text="A refund of a duplicate charge takes five days.", score=0.9)
    request = Complete(instructions="i", text="refnud of a duplikate?", passages=[found], abstain="?")
    assert await said_after("Hello.", request) == ("?", True)
    corrected = msgspec.structs.replace(request, corrected="refund of a duplicate?")
    assert await said_after("Hello.", corrected) == (found.text, False)
