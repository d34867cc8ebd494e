"""Frames of a conversation as lines of a terminal."""

from __future__ import annotations

import io

import pytest
from trunkline_cli.chat import Retries, Screen
from trunkline_protocols.citations import Citation
from trunkline_protocols.frames import DeltaFrame, ErrorFrame, Message, MessageFrame


def citation(document: str, quote: str, *, rev: int = 0, mark: int = 0) -> Citation:
    return Citation(document=document, title=document.title(), quote=quote, rev=rev, mark=mark)


def shown(specialty: str = "billing", agent: str = "billing-refunds", title: str = "", *cited: Citation) -> list[str]:
    """Return the lines that the terminal shows for an answer that has begun to stream."""
    out = io.StringIO()
    screen = Screen(out)
    screen.show(DeltaFrame(turn="t", text="Send it "))
    screen.show(
        MessageFrame(
            turn="t",
            seq=3,
            text="Send it back.",
            specialty=specialty,
            agent=agent,
            citations=list(cited),
            in_reply_to="m",
            title=title,
        )
    )
    return out.getvalue().splitlines()


def test_answer_is_followed_by_one_line_per_article() -> None:
    """In the order of the answer, each quote once; two versions are two articles."""
    lines = shown(
        "billing",
        "billing-refunds",
        "Refunds specialist",
        citation("returns", "A."),
        citation("refunds", "[B]."),
        citation("returns", "C."),
        citation("returns", "A."),
        citation("returns", "D.", rev=1),
    )
    assert lines == [
        "Send it back.",
        "-- billing / billing-refunds",
        '   [1] Returns (returns): "A.", "C."',
        '   [2] Refunds (refunds): "[B]."',
        '   [3] Returns (returns): "D."',
    ]


def test_numbers_of_sources_are_the_marks_that_the_text_shows() -> None:
    """Two passages of one article have two marks; the advice of a colleague has none."""
    lines = shown(
        "billing",
        "billing-refunds",
        "Refunds specialist",
        citation("returns", "A.", mark=4),
        citation("refunds", "B.", mark=2),
        citation("returns", "C.", mark=1),
        citation("advice", "D."),
    )
    assert lines[2:] == [
        '   [4] [1] Returns (returns): "A.", "C."',
        '   [2] Refunds (refunds): "B."',
        '   Advice (advice): "D."',
    ]


@pytest.mark.parametrize(
    ("specialty", "agent", "title", "line"),
    [
        ("billing", "billing-refunds", "Refunds specialist", "-- billing / billing-refunds"),
        ("billing", "billing-refunds", "", "-- automatic message"),
        ("person", "Ada", "", "-- Ada, a person"),
    ],
)
def test_answer_is_attributed_to_agent_person_or_system(specialty: str, agent: str, title: str, line: str) -> None:
    """A text of the system has no title."""
    assert shown(specialty, agent, title)[1] == line


def test_refused_message_is_sent_again_a_few_times() -> None:
    """If the error names it, and a time."""
    refused = ErrorFrame(code="unavailable", message="", retryable=True, id="m1", retry_after_s=2.0)
    retries = Retries(Message(id="m1", text="hello"))
    assert [retries.may_send_again(refused) for _ in range(7)] == [True] * 5 + [False] * 2
    for other in (
        ErrorFrame(code="unavailable", message="", retryable=True),
        ErrorFrame(code="unavailable", message="", retryable=True, id="m1"),
        ErrorFrame(code="bad_frame", message="", id="m1", retry_after_s=2.0),
    ):
        assert not Retries(Message(id="m1", text="hello")).may_send_again(other)
