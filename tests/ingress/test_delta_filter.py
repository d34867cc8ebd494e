"""Delta filter: the text shown to a customer before the final message is nothing, or the whole final text."""

from __future__ import annotations

from hypothesis import given, strategies as st
from trunkline_ingress.core.delta_filter import DeltaFilter
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
def test_shown_text_is_completed_or_removed_before_the_final_message(deltas: list[Delta], text: str) -> None:
    """In any order of attempts: a beginning of the final text gets its rest, a different text is removed."""
    delta_filter = DeltaFilter()
    frames = [delta_filter.filter(piece) for piece in deltas]
    frames.append(delta_filter.finish(final(text)))
    assert shown(frames) in {"", text}


def test_late_delta_after_the_final_text_is_not_shown() -> None:
    """The commit is authoritative."""
    deltas = DeltaFilter()
    deltas.filter(delta("Re", replace=True))
    assert deltas.finish(final("Refunds")) == DeltaFrame(turn=TURN, text="funds")
    assert deltas.filter(delta("funds")) is None


def test_whole_text_needs_no_further_delta() -> None:
    """A gateway of an earlier version sends the end of a text too; and without any delta the message shows all."""
    deltas = DeltaFilter()
    deltas.filter(delta("Refunds", replace=True))
    assert deltas.finish(final("Refunds")) is None
    assert DeltaFilter().finish(final("Refunds")) is None


def test_earlier_attempt_is_not_mixed_into_a_later_one() -> None:
    """A new attempt replaces the text, and later deltas of the old one are dropped."""
    deltas = DeltaFilter()
    frames = [
        deltas.filter(delta("Old ", replace=True)),
        deltas.filter(delta("New ", attempt=2, source="b", replace=True)),
        deltas.filter(delta("text of old")),
        deltas.filter(delta("answer", attempt=2, source="b")),
    ]
    assert shown(frames) == "New answer"


def test_deltas_whose_beginning_was_missed_are_dropped() -> None:
    """After a reconnect during an answer the customer sees the final text instead."""
    assert DeltaFilter().filter(delta("take 5 days.")) is None
