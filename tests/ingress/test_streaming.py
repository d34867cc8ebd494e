"""Deltas: what a customer sees is always the beginning of the final text."""

from __future__ import annotations

from hypothesis import given, strategies as st
from trunkline_ingress.core.streaming import Streaming
from trunkline_protocols.frames import DeltaFrame, MessageFrame
from trunkline_protocols.ids import ConversationId, TurnId, TurnRef
from trunkline_protocols.turn import Delta

C = ConversationId("cabc")
TURN = TurnId("cabc-1")


def delta(text: str, *, attempt: int = 1, hop: int = 0, source: str = "a", replace: bool = False) -> Delta:
    return Delta(
        ref=TurnRef(conversation=C, turn=TURN, attempt=attempt, hop=hop), text=text, replace=replace, source=source
    )


def final(text: str) -> MessageFrame:
    return MessageFrame(turn=TURN, seq=3, text=text, specialty="billing", agent="one", citations=[], in_reply_to="m1")


def shown(frames: list[DeltaFrame | None]) -> str:
    text = ""
    for frame in frames:
        if frame is not None:
            text = frame.text if frame.replace else text + frame.text
    return text


pieces = st.builds(
    delta,
    st.sampled_from(["Re", "funds ", "take ", "5 days."]),
    attempt=st.integers(1, 3),
    hop=st.integers(0, 2),
    source=st.sampled_from(["a", "b"]),
    replace=st.booleans(),
)


@given(st.lists(pieces, max_size=30), st.sampled_from(["Refunds take 5 days.", "No."]))
def test_what_is_shown_is_a_beginning_of_the_final_text(deltas: list[Delta], text: str) -> None:
    """Whatever tries overtook each other: at the end the shown text is corrected before the final one comes."""
    streaming = Streaming()
    frames = [streaming.delta(piece) for piece in deltas]
    frames.append(streaming.final(final(text)))
    assert text.startswith(shown(frames))


def test_late_delta_after_the_final_text_is_not_shown() -> None:
    """The commit is the truth."""
    streaming = Streaming()
    streaming.delta(delta("Re", replace=True))
    assert streaming.final(final("Refunds")) is None
    assert streaming.delta(delta("funds")) is None


def test_earlier_attempt_is_not_mixed_into_a_later_one() -> None:
    """A new attempt starts anew, and the old one is not heard again."""
    streaming = Streaming()
    frames = [
        streaming.delta(delta("Old ", replace=True)),
        streaming.delta(delta("New ", attempt=2, source="b", replace=True)),
        streaming.delta(delta("text of old")),
        streaming.delta(delta("answer", attempt=2, source="b")),
    ]
    assert shown(frames) == "New answer"


def test_stream_whose_beginning_was_missed_waits_for_the_final_text() -> None:
    """After a reconnection in mid-answer half a sentence helps nobody."""
    assert Streaming().delta(delta("take 5 days.")) is None
