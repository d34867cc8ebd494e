"""A conversation whose log has only its last commit: it stays closed, and its frames keep their numbers."""

from __future__ import annotations

import msgspec
from trunkline_conversation.core.decisions import ALREADY_CLOSED, first_step
from trunkline_conversation.core.state import Conversation, evolve
from trunkline_conversation.core.steps import Append
from trunkline_protocols.ids import turn_id
from trunkline_protocols.log import Closed, Commit, NoteAdded, TurnAnswered

from tests.conversation.builders import CONVERSATION, begun, environment, fresh


def marker(*, ended_before: bool) -> Commit:
    """Return the last commit of a log of nine: the close, or a note after it."""
    note = NoteAdded(note_id="n1", person="Ada", text="called back")
    return Commit(
        conversation=CONVERSATION,
        region="local",
        tenant="acme",
        customer="ada",
        kind="escalation" if ended_before else "closed",
        turn=turn_id(CONVERSATION, 17),
        epoch=3,
        owner="billing",
        agent="bill",
        inbox_seq=17,
        previous=41,
        frames_before=12,
        at=2.0,
        events=[note if ended_before else Closed(reason="ended by the customer")],
        ids_before=b"ids",
        ended_before=ended_before,
    )


def loaded(*, ended_before: bool) -> Conversation:
    """Return the state of a process that loads the conversation now."""
    return evolve(fresh(), marker(ended_before=ended_before), 42)


def test_conversation_stays_closed() -> None:
    """Also if its last commit came after the close."""
    for ended_before in (False, True):
        state = loaded(ended_before=ended_before)
        assert state.closed
        assert (state.tenant, state.customer, state.sequence, state.epoch) == ("acme", "ada", 42, 3)
        decision = first_step(state, begun(state, 99), environment())
        assert isinstance(decision, Append)
        assert [event.answer for event in decision.events if isinstance(event, TurnAnswered)] == [ALREADY_CLOSED]


def test_frames_and_message_ids_continue() -> None:
    """The close has a frame, a note has not."""
    assert loaded(ended_before=False).frames == 13
    assert loaded(ended_before=True).frames == 12
    assert loaded(ended_before=True).ids == b"ids"


def test_first_commit_of_a_log_changes_nothing_of_this() -> None:
    """It has no predecessor."""
    first = msgspec.structs.replace(marker(ended_before=False), previous=0, frames_before=0, ids_before=b"")
    assert evolve(fresh(), first, 1).frames == 1
