"""The state of a process' index and known article versions relative to the store, as a transition table.

| state        | LOADED  | LOAD_FAILED | LOCKED   | REFRESHED | WRITE_FAILED |
|--------------|---------|-------------|----------|-----------|--------------|
| UNLOADED     | LOADED  | UNAVAILABLE |          |           |              |
| LOADED       | LOADED  | UNAVAILABLE | EXACT    |           |              |
| EXACT        | EXACT   | UNAVAILABLE | EXACT    | OUTDATED  | DIRTY        |
| OUTDATED     | EXACT   | UNAVAILABLE | OUTDATED | OUTDATED  | DIRTY        |
| DIRTY        | EXACT   | UNAVAILABLE |          |           |              |
| UNAVAILABLE  | LOADED  | UNAVAILABLE |          |           | UNAVAILABLE  |

An empty cell is an event that cannot occur in that state: it is a programming error.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final


class IndexEvent(Enum):
    """A change of this process' knowledge of the store."""

    LOADED = "loaded"
    """All passages were read and indexed."""
    LOAD_FAILED = "load_failed"
    """The store did not answer; the previous index stays."""
    LOCKED = "locked"
    """The write lock is held, and the latest versions are known."""
    REFRESHED = "refreshed"
    """Another process has written: the latest versions were read again, the passages were not."""
    WRITE_FAILED = "write_failed"
    """A write was interrupted; some of it may be stored."""


class IndexState(Enum):
    """Relation of the index and of the known versions to the store."""

    UNLOADED = "unloaded"
    """Nothing was read yet, and the index is empty."""
    LOADED = "loaded"
    """Read without the write lock: a writer that crashed may have stored more without publishing it."""
    EXACT = "exact"
    """Exact since the write lock was held for the first time; later foreign writes are published."""
    OUTDATED = "outdated"
    """The latest versions are exact, the index lacks writes of other processes."""
    DIRTY = "dirty"
    """A write of this process was interrupted; only the store knows its extent."""
    UNAVAILABLE = "unavailable"
    """The last load failed; searches are answered from the previous index and marked as stale."""

    @property
    def is_index_complete(self) -> bool:
        """The index has everything that is known to be stored."""
        return self in {IndexState.LOADED, IndexState.EXACT}

    def must_load_before_write(self, *, is_shared: bool) -> bool:
        """Return whether a write needs a load first; `is_shared` if other processes write to the store."""
        if self is IndexState.LOADED:
            return is_shared
        return self in {IndexState.UNLOADED, IndexState.DIRTY, IndexState.UNAVAILABLE}

    def after(self, event: IndexEvent) -> IndexState:
        """Return the next state; raise `KeyError` if the event cannot occur in this state."""
        return TRANSITIONS[self][event]


TRANSITIONS: Final[Mapping[IndexState, Mapping[IndexEvent, IndexState]]] = {
    IndexState.UNLOADED: {
        IndexEvent.LOADED: IndexState.LOADED,
        IndexEvent.LOAD_FAILED: IndexState.UNAVAILABLE,
    },
    IndexState.LOADED: {
        IndexEvent.LOADED: IndexState.LOADED,
        IndexEvent.LOAD_FAILED: IndexState.UNAVAILABLE,
        IndexEvent.LOCKED: IndexState.EXACT,
    },
    IndexState.EXACT: {
        IndexEvent.LOADED: IndexState.EXACT,
        IndexEvent.LOAD_FAILED: IndexState.UNAVAILABLE,
        IndexEvent.LOCKED: IndexState.EXACT,
        IndexEvent.REFRESHED: IndexState.OUTDATED,
        IndexEvent.WRITE_FAILED: IndexState.DIRTY,
    },
    IndexState.OUTDATED: {
        IndexEvent.LOADED: IndexState.EXACT,
        IndexEvent.LOAD_FAILED: IndexState.UNAVAILABLE,
        IndexEvent.LOCKED: IndexState.OUTDATED,
        IndexEvent.REFRESHED: IndexState.OUTDATED,
        IndexEvent.WRITE_FAILED: IndexState.DIRTY,
    },
    IndexState.DIRTY: {
        IndexEvent.LOADED: IndexState.EXACT,
        IndexEvent.LOAD_FAILED: IndexState.UNAVAILABLE,
    },
    IndexState.UNAVAILABLE: {
        IndexEvent.LOADED: IndexState.LOADED,
        IndexEvent.LOAD_FAILED: IndexState.UNAVAILABLE,
        IndexEvent.WRITE_FAILED: IndexState.UNAVAILABLE,
    },
}
"""The table of the module's docstring."""
