"""The loss of all hosts: empty ones are installed again, and get the latest state from outside.

That is the latest backup of the suite, and PostgreSQL as far as its WAL is archived, to which the streams are rolled
forward.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import msgspec
from trunkline_chassis.bus import connect
from trunkline_cli.backup.manifest import SuiteManifest
from trunkline_cli.backup.store import BackupStore
from trunkline_protocols import streams

from tests.cluster.lab import ANSWER_WITHIN_S, QUESTION, Lab, LabError
from tests.cluster.load import LabServers, count_while
from tests.faults.verifier import Report

_ARTICLE: Final = (
    "---\nid: harbour-lamp\ntitle: The harbour lamp\n---\n\nThe harbour lamp blinks in violet before a storm.\n"
)
_FIND: Final = "When does the harbour lamp blink in violet?"
_PLAYBOOK_TIMEOUT_S: Final = 900.0
_LATE_MESSAGES: Final = 3
_ARCHIVED_WITHIN_S: Final = 40.0
"""The lab archives WAL every 10 s; the rest is for a busy machine."""
_LOGS: Final = (streams.INBOX.name, streams.CONVERSATIONS.name)
_RECORDS: Final = "SELECT leaf, stream, sequence, encode(sha256, 'hex') AS sha256, at FROM messages ORDER BY leaf"
_LEAVES: Final = "SELECT leaf, stream, sequence, encode(sha256, 'hex') FROM messages WHERE leaf < $1 ORDER BY leaf"


@dataclass(frozen=True, slots=True)
class Recovery:
    """Figures of one recovery; times in seconds."""

    load: Report
    """Messages during the backup."""
    backup_s: float
    since_backup_s: float
    """From the beginning of the backup to the loss of the hosts."""
    rolled_forward: int
    """Messages behind the backup that the streams have again."""
    lost_messages: int
    """Accepted but unknown after the restore."""
    window_s: float
    """From the last record that was restored to the loss of the hosts."""
    install_s: float
    """Empty hosts and site.yml."""
    restore_s: float
    """restore.yml."""
    total_s: float
    """From the first command to an answer through every host."""


@dataclass(frozen=True, slots=True)
class _State:
    """Digests of that part of the stored state that a manifest names."""

    streams: dict[str, str]
    archive: str


async def lose_all_and_recover(lab: Lab, rate: float) -> Recovery:
    """Back up under load, destroy every host and restore; raise `LabError` if the state differs from the backup."""
    first, *_ = lab.addresses
    _import_article(lab, first)
    kept = await asyncio.to_thread(lab.ask, first, QUESTION)
    erased = await asyncio.to_thread(lab.ask, first, QUESTION, customer="erased-later")
    load, backup_s = await _back_up_under_load(lab, rate)
    manifest = await BackupStore(str(lab.backups)).manifest("")
    before = await _state(lab, manifest)
    # What follows is in no backup of the suite: an erasure, which must not be undone, and messages of the archive.
    lab.trunkline(first, "erase", "--customer", "erased-later")
    for _ in range(_LATE_MESSAGES):
        await asyncio.to_thread(lab.ask, first, QUESTION)
    await asyncio.sleep(_ARCHIVED_WITHIN_S)  # as long as WAL may take to the repository
    last_archived = await _last_sequence(lab)
    await asyncio.to_thread(lab.ask, first, QUESTION)  # may be lost
    records, messages, lost_at = await _records(lab), await _messages(lab), time.time()
    lab.copy_from(first, "/var/lib/trunkline/ingress/erasures.jsonl", lab.folder / "erasures.jsonl")

    lab.down()
    started = time.monotonic()
    lab.up()
    await asyncio.to_thread(lab.play, "site.yml", timeout_s=_PLAYBOOK_TIMEOUT_S)
    installed = time.monotonic()
    variables = {
        "backup__replace": True,
        "backup__moment": "latest",
        "backup__erasures_file": str(lab.folder / "erasures.jsonl"),
    }
    extra = msgspec.json.encode(variables).decode()
    await asyncio.to_thread(lab.play, "restore.yml", "--extra-vars", extra, timeout_s=_PLAYBOOK_TIMEOUT_S)
    restored = time.monotonic()
    for host in lab.addresses:
        await asyncio.to_thread(lab.ask_until_answered, host, QUESTION, within_s=ANSWER_WITHIN_S)
    answered = time.monotonic()

    after = await _state(lab, manifest)
    if after != before:
        raise LabError(f"restored state differs from the backup: {before} before, {after} after")
    _check_contents(lab, first, kept, erased)
    restored_records = _common(records, await _records(lab))
    _check_rolled_forward(restored_records, messages, await _messages(lab))
    reached = max(record["sequence"] for record in restored_records if record["stream"] == streams.INBOX.name)
    if reached < last_archived:
        raise LabError(
            f"INBOX reaches {reached}, and {last_archived} was archived {_ARCHIVED_WITHIN_S:g} s before the loss"
        )
    return Recovery(
        load=load,
        backup_s=backup_s,
        since_backup_s=lost_at - manifest.begun_at,
        rolled_forward=reached - _sequence(manifest),
        lost_messages=max(messages[streams.INBOX.name]) - reached,
        window_s=lost_at - max(record["at"].timestamp() for record in restored_records),
        install_s=installed - started,
        restore_s=restored - installed,
        total_s=answered - started,
    )


async def _back_up_under_load(lab: Lab, rate: float) -> tuple[Report, float]:
    durations: list[float] = []

    async def back_up() -> None:
        started = time.monotonic()
        await asyncio.to_thread(lab.play, "backup.yml", timeout_s=_PLAYBOOK_TIMEOUT_S)
        durations.append(time.monotonic() - started)

    return await count_while(lab, back_up(), rate), durations[0]


def _import_article(lab: Lab, host: str) -> None:
    file = lab.folder / "harbour-lamp.md"
    file.write_text(_ARTICLE, encoding="utf-8")
    lab.trunkline(host, "kb", "import", str(file))


def _check_contents(lab: Lab, host: str, kept: list[dict[str, Any]], erased: list[dict[str, Any]]) -> None:
    """Check that texts, knowledge and proofs are there, and that an erased customer stays erased."""
    if QUESTION not in lab.trunkline(host, "trace", _conversation(kept), "--json"):
        raise LabError("the text of a conversation is missing after the restore")
    if QUESTION in lab.trunkline(host, "trace", _conversation(erased), "--json"):
        raise LabError("the restore has brought the texts of an erased customer back")
    if "harbour-lamp" not in lab.trunkline(host, "kb", "search", _FIND, "--json"):
        raise LabError("an imported article is missing after the restore")
    verified = msgspec.json.decode(lab.trunkline(host, "audit", "verify", "--json"))
    if verified["broken"]:
        raise LabError(f"the audit trail does not verify after the restore: {verified}")


def _conversation(frames: list[dict[str, Any]]) -> str:
    return str(next(frame["conversation"] for frame in frames if frame["type"] == "started"))


async def _state(lab: Lab, manifest: SuiteManifest) -> _State:
    """Digest the messages of the logs and the leaves of the archive that a backup has."""
    servers = LabServers(lab)
    bus = await connect(servers.nats_url(), "verifier", principal="operator", security=servers.security())
    digests: dict[str, str] = {}
    try:
        for name in _LOGS:
            last = _sequence(manifest, name)
            digest = hashlib.sha256()
            for stored in await bus.read_messages(name, "*.>"):
                if stored.seq <= last:
                    digest.update(f"{stored.seq} {stored.subject} ".encode() + hashlib.sha256(stored.payload).digest())
            digests[name] = digest.hexdigest()
    finally:
        await bus.close()
    if manifest.archive is None:
        raise LabError("the backup has no archive")
    connection = await asyncpg.connect(servers.postgres_dsn())
    try:
        rows = await connection.fetch(_LEAVES, manifest.archive.rows["messages"])
    finally:
        await connection.close()
    if len(rows) != manifest.archive.rows["messages"]:
        raise LabError(f"the archive has {len(rows)} of {manifest.archive.rows['messages']} records of the backup")
    return _State(digests, hashlib.sha256(repr([tuple(row) for row in rows]).encode()).hexdigest())


async def _records(lab: Lab) -> list[asyncpg.Record]:
    """Return the records of the archive by leaf."""
    connection = await asyncpg.connect(LabServers(lab).postgres_dsn())
    try:
        found: list[asyncpg.Record] = await connection.fetch(_RECORDS)
    finally:
        await connection.close()
    return found


async def _messages(lab: Lab) -> dict[str, dict[int, tuple[str, bytes]]]:
    """Return subject and hash of each message of the logs, by stream and sequence."""
    servers = LabServers(lab)
    bus = await connect(servers.nats_url(), "verifier", principal="operator", security=servers.security())
    try:
        return {
            name: {
                stored.seq: (stored.subject, hashlib.sha256(stored.payload).digest())
                for stored in await bus.read_messages(name, "*.>")
            }
            for name in _LOGS
        }
    finally:
        await bus.close()


def _common(before: list[asyncpg.Record], after: list[asyncpg.Record]) -> list[asyncpg.Record]:
    """Return the records of before that were restored: all up to the first that is another one."""
    pairs = itertools.takewhile(lambda pair: tuple(pair[0]) == tuple(pair[1]), zip(before, after, strict=False))
    return [record for record, _ in pairs]


def _check_rolled_forward(
    records: list[asyncpg.Record],
    before: dict[str, dict[int, tuple[str, bytes]]],
    after: dict[str, dict[int, tuple[str, bytes]]],
) -> None:
    """Check that the logs have every restored record under its sequence."""
    for record in records:
        stream, sequence = record["stream"], record["sequence"]
        if stream in _LOGS and before[stream].get(sequence) != after[stream].get(sequence):
            raise LabError(f"message {sequence} of {stream} is not the one of before the loss")


def _sequence(manifest: SuiteManifest, stream: str = streams.INBOX.name) -> int:
    return next(int(each.state["last_seq"]) for each in manifest.streams if each.config["name"] == stream)


async def _last_sequence(lab: Lab) -> int:
    servers = LabServers(lab)
    bus = await connect(servers.nats_url(), "verifier", principal="operator", security=servers.security())
    try:
        info = await bus.api(f"STREAM.INFO.{streams.INBOX.name}")
    finally:
        await bus.close()
    return int(info["state"]["last_seq"])
