"""The Bloom filter of message ids: no false negatives, few false positives, fixed size."""

from __future__ import annotations

from functools import reduce

from hypothesis import given, strategies as st
from trunkline_protocols.rules.message_id_filter import may_contain, with_id


@given(st.lists(st.text(st.characters()), max_size=200), st.text())
def test_added_ids_are_always_contained(ids: list[str], other: str) -> None:
    """Further additions do not change that."""
    seen = reduce(with_id, ids, b"")
    assert all(may_contain(seen, id_) for id_ in ids)
    assert all(may_contain(with_id(seen, other), id_) for id_ in [*ids, other])


def test_false_positives_are_rare_and_the_size_is_fixed() -> None:
    """The rate is about 1 % after 75 ids."""
    seen = reduce(with_id, (f"m{number}" for number in range(75)), b"")
    false_positives = sum(may_contain(seen, f"new{number}") for number in range(10_000))
    assert false_positives < 200
    assert len(seen) == len(reduce(with_id, (f"m{number}" for number in range(5_000)), b"")) == 128
    assert not may_contain(b"", "m1")
