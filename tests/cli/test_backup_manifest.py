"""Decisions of a backup: the order of its parts, and the comparison of a restore with its manifest."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.stream_snapshots import restore_snapshot, take_snapshot
from trunkline_cli.backup.manifest import (
    ArchivePart,
    Part,
    StreamPart,
    archive_differences,
    backup_id,
    snapshot_order,
    stream_differences,
    with_copies,
)
from trunkline_protocols import streams

from tests.support.nats import nats_server

CONTENT = Part(object="x", size=1, sha256="0" * 64)
STATE = {"messages": 3, "bytes": 300, "first_seq": 1, "last_seq": 3, "first_ts": "a", "last_ts": "b"}


def stream(**config: Any) -> StreamPart:
    return StreamPart(content=CONTENT, config={"name": "INBOX", **config}, state=STATE)


def test_commits_are_saved_before_the_messages_they_answer_and_after_everything_else() -> None:
    """Else a commit of the backup could answer a message that a new customer's message takes the place of."""
    names = [*(each.name for each in streams.STREAMS), *(f"KV_{each.name}" for each in streams.BUCKETS)]
    order = snapshot_order(names)
    # Heads that were signed behind the dump of the archive would contradict the restored one, and another process may
    # serve the knowledge base.
    assert sorted(order) == sorted(name for name in names if name not in {"HEADS", "KV_KNOWLEDGE"})
    assert order[-2:] == ["CONVERSATIONS", "INBOX"]


def test_restored_stream_must_equal_the_manifest() -> None:
    """Except for messages that have expired since, as they would have without a restore."""
    assert stream_differences(stream(), dict(STATE)) == []
    shorter: dict[str, Any] = STATE | {"messages": 2, "bytes": 200, "first_seq": 2, "first_ts": "c"}
    assert stream_differences(stream(), shorter) == [
        "stream INBOX: messages is 2, in the backup 3",
        "stream INBOX: bytes is 200, in the backup 300",
        "stream INBOX: first_seq is 2, in the backup 1",
        "stream INBOX: first_ts is c, in the backup a",
    ]
    assert stream_differences(stream(max_age=1), shorter) == []
    assert stream_differences(stream(allow_msg_ttl=True), shorter) == []
    assert stream_differences(stream(max_age=1), shorter | {"last_seq": 2}) == [
        "stream INBOX: last_seq is 2, in the backup 3"
    ]


def test_empty_stream_equals_the_manifest_if_it_is_empty_again() -> None:
    """Its first sequence is 0 before a restore and 1 after it."""
    empty = {"messages": 0, "bytes": 0, "first_seq": 0, "last_seq": 0}
    saved = StreamPart(content=CONTENT, config={"name": "VIEWS"}, state=empty)
    assert stream_differences(saved, empty | {"first_seq": 1}) == []
    assert stream_differences(saved, STATE) != []


def test_restored_archive_must_have_the_rows_of_the_manifest() -> None:
    """Missing and additional tables are named too."""
    archive = ArchivePart(content=CONTENT, rows={"a": 1, "b": 2})
    assert archive_differences(archive, {"a": 1, "b": 2}) == []
    assert archive_differences(archive, {"a": 1, "c": 1}) == [
        "table b has 0 rows, in the backup 2",
        "table c has 1 rows, in the backup 0",
    ]


def test_ids_sort_by_time_and_copies_follow_the_target() -> None:
    """A backup of a cluster can be restored to one server, and back."""
    assert backup_id(0.0) == "19700101T000000Z" < backup_id(1e9)
    assert with_copies({"num_replicas": 3}, 1) == {"num_replicas": 1}
    assert with_copies({"num_replicas": 3}, None) == {"num_replicas": 3}


async def test_stream_whose_newest_message_was_erased_equals_the_manifest(bus: Bus, tmp_path: Path) -> None:
    """The key of a customer who is erased may be the newest one; a server dates the stream by the one before it."""
    name = f"ERASED_{secrets.token_hex(4)}"
    await bus.api(f"STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.>"], "storage": "file"})
    for number in range(3):
        await bus.append(f"{name}.{number}", b"key", message_id=f"m{number}")
    await bus.api(f"STREAM.MSG.DELETE.{name}", {"seq": 3})
    content = bytearray()
    snapshot = await take_snapshot(bus, name, content.extend)
    with nats_server(tmp_path / "empty") as url:
        empty = await connect(url, "test")
        restored = await restore_snapshot(empty, snapshot, [bytes(content)])
        await empty.close()
    saved = StreamPart(content=CONTENT, config=snapshot.config, state=snapshot.state)
    assert restored["last_ts"] != saved.state["last_ts"]
    assert stream_differences(saved, restored) == []
    assert stream_differences(saved, restored | {"last_seq": 2}) != []
