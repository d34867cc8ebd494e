"""Which messages of a subject are purged."""

from __future__ import annotations

from hypothesis import given, strategies as st
from trunkline_audit.core.retention.trimming import StoredKey, purge_before


def keys(*sequences: int, sha256: bytes = b"a") -> list[StoredKey]:
    """Return messages of one stream."""
    return [StoredKey("INBOX", sequence, sha256) for sequence in sequences]


def test_everything_that_is_stored_and_acknowledged_goes() -> None:
    """Except the last message of a log."""
    messages = keys(3, 7, 9)
    assert purge_before(messages, frozenset(messages), floor=9, keep_last=False) == 10
    assert purge_before(messages, frozenset(messages), floor=9, keep_last=True) == 8
    assert purge_before([], frozenset(messages), floor=9, keep_last=True) == 0


def test_message_of_another_stream_of_that_name_ends_the_purge() -> None:
    """A re-created stream numbers from 1 again: the bytes differ."""
    assert purge_before(keys(3, 7), frozenset(keys(3, 7, sha256=b"b")), floor=9, keep_last=False) == 0


@given(
    sequences=st.sets(st.integers(1, 50)),
    stored=st.sets(st.integers(1, 50)),
    floor=st.integers(0, 50),
    keep_last=st.booleans(),
)
def test_no_message_goes_that_is_not_stored_or_not_acknowledged(
    sequences: set[int], stored: set[int], floor: int, *, keep_last: bool
) -> None:
    """For any subject, archive and consumer."""
    messages = keys(*sorted(sequences))
    before = purge_before(messages, frozenset(keys(*stored)), floor=floor, keep_last=keep_last)
    gone = {sequence for sequence in sequences if sequence < before}
    assert gone <= stored
    assert all(sequence <= floor for sequence in gone)
    assert not (keep_last and sequences and max(sequences) in gone)
