"""The state of the index relative to the store: the transition table and the decisions based on it."""

from __future__ import annotations

import pytest
from trunkline_rag.core import index_state
from trunkline_rag.core.index_state import TRANSITIONS, IndexEvent, IndexState


def documented() -> dict[IndexState, dict[IndexEvent, IndexState]]:
    """Parse the table of the module's docstring."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in str(index_state.__doc__).splitlines()
        if line.startswith("| ")
    ]
    events = [IndexEvent[name] for name in rows[0][1:]]
    return {
        IndexState[name]: {event: IndexState[cell] for event, cell in zip(events, cells, strict=True) if cell}
        for name, *cells in rows[1:]
    }


def test_transitions_are_as_documented() -> None:
    """The table of the docstring lists every state and every transition."""
    assert documented() == TRANSITIONS


@pytest.mark.parametrize("state", IndexState)
def test_every_state_is_reachable_and_recovers_by_a_load(state: IndexState) -> None:
    """No state is a dead end: a load makes the index complete."""
    reached = {IndexState.UNLOADED}
    while new := {TRANSITIONS[one][event] for one in reached for event in TRANSITIONS[one]} - reached:
        reached |= new
    assert state in reached
    assert state.after(IndexEvent.LOADED).is_index_complete


def test_event_that_cannot_occur_is_an_error() -> None:
    """A write needs the lock, and the lock needs a load."""
    with pytest.raises(KeyError):
        IndexState.UNLOADED.after(IndexEvent.LOCKED)
    with pytest.raises(KeyError):
        IndexState.LOADED.after(IndexEvent.WRITE_FAILED)


def test_write_after_failure_needs_a_load() -> None:
    """An interrupted write, an unavailable store; of a shared store also the first write of a process."""
    for is_shared in (False, True):
        failed = IndexState.EXACT.after(IndexEvent.WRITE_FAILED)
        assert failed.must_load_before_write(is_shared=is_shared)
        assert IndexState.UNAVAILABLE.must_load_before_write(is_shared=is_shared)
        assert not IndexState.EXACT.must_load_before_write(is_shared=is_shared)
        assert not IndexState.OUTDATED.must_load_before_write(is_shared=is_shared)
        assert IndexState.LOADED.must_load_before_write(is_shared=is_shared) == is_shared
