"""The filter of message ids: it may grant too much, and never denies what it holds."""

from __future__ import annotations

from functools import reduce

from hypothesis import given, strategies as st
from trunkline_protocols.rules.message_id_filter import may_hold, with_id


@given(st.lists(st.text(st.characters()), max_size=200), st.text())
def test_what_was_added_is_never_denied(ids: list[str], other: str) -> None:
    """Whatever is added later."""
    seen = reduce(with_id, ids, b"")
    assert all(may_hold(seen, id_) for id_ in ids)
    assert all(may_hold(with_id(seen, other), id_) for id_ in [*ids, other])


def test_new_ids_are_mostly_denied_and_the_filter_does_not_grow() -> None:
    """One of a hundred is granted after 75."""
    seen = reduce(with_id, (f"m{number}" for number in range(75)), b"")
    granted = sum(may_hold(seen, f"new{number}") for number in range(10_000))
    assert granted < 200
    assert len(seen) == len(reduce(with_id, (f"m{number}" for number in range(5_000)), b"")) == 128
    assert not may_hold(b"", "m1")
