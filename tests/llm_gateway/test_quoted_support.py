"""The floors of a supported statement, on the articles of the demo fleet."""

from __future__ import annotations

from pathlib import Path

import pytest
from trunkline_llm_gateway.core.quoted_support import supporting_sentence
from trunkline_protocols.knowledge import Passage
from trunkline_rag.core.passages import split_text

KNOWLEDGE = Path(__file__).parents[2] / "fleet" / "knowledge"

PARAPHRASES = {
    "no-internet": "Some modems only accept a different router once they have been powered down for around ten minutes",
    "payment-declined": "Usually the approval step of the bank was missed, or the address is not the one of the card",
    "camera-offline": "Hold the button on the back of the camera for five seconds until you see a blinking blue light",
    "plus-cancel": "You'll get a confirmation by email a few minutes later",
    "transfer-a-home": "Your recordings and schedules are removed in the process",
    "sensor-battery": "The sensor's red flashing means that less than 10% of battery power is left",
    "motion-alerts-and-zones": "Reduce the motion sensitivity to Medium to get fewer alerts from trees",
    "delete-your-account": "It is permanently removed after 14 days",
    "lamp-flicker-and-colour": "No, our lamps don't work with wall dimmers, so use a normal switch and the app",
    "refund-timelines": "With a card it takes three to five working days",
    "roles-and-removing-people": "Kids aged 13 or older may have an account of their own as a guest or a member",
    "partial-refunds": "Any discount is spread over all items in the order",
    "newsletters-and-two-accounts": "Just email us from each address and say which account should stay",
    "replacements-and-repairs": "We normally swap products instead of repairing them, as that's quicker",
}
"""Articles and statements that a model could make of them."""

UNSUPPORTED = (
    "We offer students a discount of ten percent",
    "Our shops are open on Sundays",
    "You can pay with Bitcoin too",
    "Thank you for your patience",
    "Our technicians visit you at home the next day",
    "Please consult a lawyer about your contract",
    "We also sell solar panels in Germany",
    "Every order comes with a free gift card",
)
"""Statements that hardly any passage says."""


def passages_of(document: str, score: float = 0.9) -> list[Passage]:
    (file,) = KNOWLEDGE.glob(f"*/{document}.md")
    body = file.read_text(encoding="utf-8").split("---\n", 2)[-1]
    return [
        Passage(document=document, title=document, text=chunk.text, headings=chunk.headings, score=score)
        for chunk in split_text(body)
    ]


@pytest.mark.parametrize("document", PARAPHRASES)
def test_statement_in_other_words_is_supported_by_its_article(document: str) -> None:
    """By one of its passages at least."""
    assert any(supporting_sentence(PARAPHRASES[document], passage) for passage in passages_of(document))


def test_hardly_any_passage_supports_a_statement_about_something_else() -> None:
    """At most two in a hundred."""
    passages = [passage for file in sorted(KNOWLEDGE.glob("*/*.md")) for passage in passages_of(file.stem)]
    pairs = [(statement, passage) for statement in UNSUPPORTED for passage in passages]
    supported = [pair for pair in pairs if supporting_sentence(*pair) is not None]
    assert len(passages) > 300
    assert len(supported) / len(pairs) < 0.02
