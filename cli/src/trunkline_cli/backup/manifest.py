"""Content list of a backup: its parts with their hashes, and the state that a restore must reach. Pure.

A manifest is written last, so a backup without one does not exist. The parts are taken in an order that lets a suite
start on them, although it serves customers meanwhile: nothing refers to data that a later part lacks.

    archive         before every stream: audit continues behind the last recorded message, none is skipped
    knowledge       at any time
    KV_* and others before the log: a folded conversation must not be newer than its commits
    CONVERSATIONS   before INBOX: a commit must not answer a message that a new one would take the place of
    INBOX           last: messages without an answer are answered after the restore
    HEADS           not at all: its heads of records behind the dump would not be those of the restored archive
    KV_KNOWLEDGE    not at all: which process serves the knowledge base, which the hosts of a restore decide again
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from trunkline_protocols import streams
from trunkline_protocols.decoding import Decoder

FORMAT: Final = 1
_LAST: Final = (streams.CONVERSATIONS.name, streams.INBOX.name)
_NOT_SAVED: Final = frozenset({streams.HEADS.name, f"KV_{streams.KNOWLEDGE.name}"})
_COMPARED: Final = ("messages", "bytes", "first_seq", "last_seq", "first_ts", "last_ts")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One object of the store."""

    object: str
    size: int
    """Bytes."""
    sha256: str


class StreamPart(msgspec.Struct, frozen=True, kw_only=True):
    """The snapshot of a stream, with its configuration and state as in the JetStream API."""

    content: Part
    config: dict[str, Any]
    state: dict[str, Any]


class ArchivePart(msgspec.Struct, frozen=True, kw_only=True):
    """The dump of PostgreSQL, and the number of rows per table at that moment."""

    content: Part
    rows: dict[str, int]


class KnowledgePart(msgspec.Struct, frozen=True, kw_only=True):
    """A backup of the knowledge base: its manifest and its blobs."""

    backup: str
    contents: list[Part]


class SuiteManifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that belongs to one backup."""

    id: str
    begun_at: float
    """Unix time. Messages that a customer saw before are in the backup; later ones may be missing."""
    finished_at: float
    region: str
    version: str
    """Version of Trunkline."""
    streams: list[StreamPart]
    archive: ArchivePart | None = None
    knowledge: KnowledgePart | None = None
    secrets: Part | None = None
    format: int = FORMAT

    @property
    def has_customer_keys(self) -> bool:
        """Return whether customers' texts in it are encrypted."""
        keys = [each for each in self.streams if each.config["name"] == f"KV_{streams.CUSTOMER_KEYS.name}"]
        return any(each.state.get("messages", 0) > 0 for each in keys)

    @property
    def parts(self) -> list[Part]:
        """All objects of the store that belong to the backup."""
        return [
            *(stream.content for stream in self.streams),
            *([self.archive.content] if self.archive is not None else ()),
            *(self.knowledge.contents if self.knowledge is not None else ()),
            *([self.secrets] if self.secrets is not None else ()),
        ]


decode_manifest: Final = Decoder[SuiteManifest](SuiteManifest).decode


def backup_id(begun_at: float) -> str:
    """Return an id that sorts by time."""
    return datetime.fromtimestamp(begun_at, UTC).strftime("%Y%m%dT%H%M%SZ")


def snapshot_order(names: Iterable[str]) -> list[str]:
    """Return the streams of a backup in the order of their snapshots: a stream comes before those that it refers to."""
    saved = (name for name in names if name not in _NOT_SAVED)
    return sorted(saved, key=lambda name: (_LAST.index(name) if name in _LAST else -1, name))


def with_copies(config: dict[str, Any], copies: int | None) -> dict[str, Any]:
    """Return the configuration of a restored stream: in a cluster of another size, with another number of copies."""
    return config if copies is None else config | {"num_replicas": copies}


def stream_differences(stream: StreamPart, restored: dict[str, Any]) -> list[str]:
    """Compare the state of a restored stream with the manifest; return one line per difference.

    A stream whose messages expire may have fewer of them by now, as it would have without a restore.
    """
    compared: tuple[str, ...] = _COMPARED
    expires = stream.config.get("max_age", 0) > 0 or stream.config.get("allow_msg_ttl", False)
    if expires and restored.get("messages", 0) < stream.state.get("messages", 0):
        compared = ("last_seq",)
    elif not stream.state.get("messages", 0):
        # A server counts the first sequence of a stream that never had a message as 0 or as 1.
        compared = ("messages", "last_seq")
    elif stream.state.get("num_deleted", 0):
        # A server that reads a snapshot takes the time of the last message that is left, for that of an erased one.
        compared = tuple(key for key in _COMPARED if key != "last_ts")
    return [
        f"stream {stream.config['name']}: {key} is {restored.get(key)}, in the backup {stream.state.get(key)}"
        for key in compared
        if restored.get(key) != stream.state.get(key)
    ]


def archive_differences(archive: ArchivePart, restored: dict[str, int]) -> list[str]:
    """Compare the rows of a restored database with the manifest; return one line per difference."""
    tables = sorted(archive.rows.keys() | restored.keys())
    return [
        f"table {table} has {restored.get(table, 0)} rows, in the backup {archive.rows.get(table, 0)}"
        for table in tables
        if restored.get(table, 0) != archive.rows.get(table, 0)
    ]
