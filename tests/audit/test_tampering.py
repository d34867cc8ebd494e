"""Every change by the owner of the database is found by the verifier, offline, with the heads that a witness kept."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import random
import re
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from trunkline_audit.adapters.head_signer import HeadSigner
from trunkline_audit.adapters.postgres import PostgresArchive, PostgresWriter
from trunkline_audit.core import verifier
from trunkline_audit.core.records import AuditedMessage, row_of
from trunkline_cli.audit import archive as auditor
from trunkline_cli.errors import CommandError
from trunkline_protocols import subjects
from trunkline_protocols.ids import ConversationId, conversation_id

from tests.audit.harness import UNSIGNED, ArchiveReader
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.processes

START: Final = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
SIGNER: Final = HeadSigner("local", "s" * 32, now=lambda: START)
BATCHES: Final = (7, 250, 1, 300, 42)
"""Records of each batch, after each of which a head is signed: three tiles, of which two are full."""
RECORDS: Final = sum(BATCHES)


def conversation_of(number: int) -> ConversationId:
    """Return the conversation of a message."""
    return conversation_id(f"{number // 100:020d}")


def messages(stream: str, first: int, count: int) -> list[AuditedMessage]:
    """Return messages of one conversation per hundred."""
    return [
        AuditedMessage(
            stream,
            number,
            START + timedelta(milliseconds=number),
            subjects.log("local", conversation_of(number), "turn"),
            json.dumps({"type": "commit", "turn": f"t{number}", "text": f"Ünïcode {number}"}).encode(),
        )
        for number in range(first, first + count)
    ]


async def fill(writer: PostgresWriter) -> None:
    """Write all batches and sign a head after each."""
    first = 1
    for count in BATCHES:
        await writer.write([row_of(message, START) for message in messages("CONVERSATIONS", first, count)])
        await writer.sign_head()
        first += count


@pytest.fixture
async def filled(archive: ArchiveReader) -> ArchiveReader:
    """Return an archive with records and heads."""
    async with PostgresArchive(archive.dsn, name="test", heads=SIGNER).open() as writer:
        await fill(writer)
    return archive


@pytest.fixture
async def witness(filled: ArchiveReader, tmp_path: Path) -> Path:
    """Return a file with the heads, as a witness on another machine has it."""
    file = tmp_path / "heads.jsonl"
    with file.open("w", encoding="utf-8") as out:
        await auditor.print_heads(filled.dsn, out, after=0, follow=False)
    return file


def run_verifier(folder: Path, witness: Path, export: str = auditor.EXPORT_NAME) -> subprocess.CompletedProcess[str]:
    """Run the exported file alone: isolated from this environment's packages of ours."""
    arguments = [export, "--heads", str(witness), "--key", SIGNER.public_key.hex()]
    return subprocess.run(
        [sys.executable, "-P", auditor.VERIFIER_NAME, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_untouched_archive_has_no_fault(filled: ArchiveReader, witness: Path, tmp_path: Path) -> None:
    """By the command, and by the exported file."""
    report = await auditor.verify(filled.dsn, witness, SIGNER.public_key.hex())
    assert (report.records, report.uncovered, report.faults) == (RECORDS, 0, [])
    assert await auditor.export(filled.dsn, tmp_path / "export") == RECORDS
    done = await asyncio.to_thread(run_verifier, tmp_path / "export", witness)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{RECORDS} records, {2 * len(BATCHES)} heads, 0 uncovered: no fault\n"


FORGED: Final = """
INSERT INTO messages (stream, sequence, at, received_at, subject, raw, sha256)
VALUES ('INBOX', 1, now(), now(), 'inbox.x', 'x', sha256('x'))
"""
"""A row without a place in the tree."""
CHANGES: Final[dict[str, str]] = {
    "bytes and their hash": "UPDATE messages SET raw = 'x', sha256 = sha256('x') WHERE leaf = {leaf}",
    "subject": "UPDATE messages SET subject = 'conv.local.s1.other.turn' WHERE leaf = {leaf}",
    "time": "UPDATE messages SET at = at + interval '1 microsecond' WHERE leaf = {leaf}",
    "time of receipt": "UPDATE messages SET received_at = received_at - interval '1 day' WHERE leaf = {leaf}",
    "sequence": "UPDATE messages SET sequence = sequence + 100000 WHERE leaf = {leaf}",
    "removed": "DELETE FROM messages WHERE leaf = {leaf}",
    "removed and the others moved up": "DELETE FROM messages WHERE leaf = {leaf};"
    " UPDATE messages SET leaf = -leaf WHERE leaf > {leaf}; UPDATE messages SET leaf = -leaf - 1 WHERE leaf < 0",
    "added": "UPDATE messages SET leaf = -leaf - 1 WHERE leaf >= {leaf};"
    " UPDATE messages SET leaf = -leaf WHERE leaf < 0;"
    " INSERT INTO messages (stream, sequence, at, received_at, subject, raw, sha256)"
    " VALUES ('INBOX', 1, now(), now(), 'inbox.x', 'x', sha256('x'));"
    " UPDATE messages SET leaf = {leaf} WHERE leaf IS NULL",
    "swapped": "UPDATE messages SET leaf = CASE leaf WHEN {leaf} THEN -1 ELSE -2 END WHERE leaf IN ({leaf}, {other});"
    " UPDATE messages SET leaf = CASE leaf WHEN -1 THEN {other} ELSE {leaf} END WHERE leaf < 0",
    "truncated": "DELETE FROM messages WHERE leaf >= {leaf}; DELETE FROM tree_heads WHERE size > {leaf}",
    "head forged": "UPDATE tree_heads SET root = sha256('x') WHERE size = (SELECT min(size) FROM tree_heads)",
    "heads removed": "DELETE FROM tree_heads; UPDATE messages SET subject = 'x.y' WHERE leaf = {leaf}",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_change_is_found_offline(filled: ArchiveReader, witness: Path, tmp_path: Path, change: str) -> None:
    """And located between two heads of the witness, at worst."""
    generator = random.Random(change)  # noqa: S311 - any rows will do
    for attempt in range(3):
        leaf, other = sorted(generator.sample(range(RECORDS), 2))
        await filled.execute("CREATE TABLE kept AS TABLE messages; CREATE TABLE kept_heads AS TABLE tree_heads;")
        await filled.execute(change.format(leaf=leaf, other=other))
        folder = tmp_path / f"export-{attempt}"
        await auditor.export(filled.dsn, folder)
        done = await asyncio.to_thread(run_verifier, folder, witness)
        assert done.returncode == 1, (leaf, other, done.stdout, done.stderr)
        assert "record" in done.stdout.splitlines()[0]
        report = await auditor.verify(filled.dsn, witness, SIGNER.public_key.hex())
        assert report.faults
        await filled.execute(
            "TRUNCATE messages, tree_heads; INSERT INTO messages SELECT * FROM kept; DROP TABLE kept;"
            " INSERT INTO tree_heads SELECT * FROM kept_heads; DROP TABLE kept_heads"
        )


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            "UPDATE messages SET conversation = 'another' WHERE leaf = 300",
            "record 300: column conversation was changed",
        ),
        ("UPDATE messages SET payload = '{{}}' WHERE leaf = 300", "record 300: column payload was changed"),
        ("UPDATE messages SET sha256 = 'x' WHERE leaf = 300", "record 300: column sha256 was changed"),
        (
            FORGED,
            "1 rows have no place in the tree: they were not written by audit",
        ),
    ],
)
async def test_change_of_what_only_queries_use_is_found(filled: ArchiveReader, change: str, fault: str) -> None:
    """These columns are no part of an export: they follow from it."""
    await filled.execute(change.replace("{{}}", "{}"))
    assert (await auditor.verify(filled.dsn, None, "")).faults == [fault]


async def test_swapped_histories_are_found(postgres: PostgresServer, witness: Path) -> None:
    """A second archive, signed with the same key, is not the one that the witness saw."""
    other = ArchiveReader(await postgres.create_database("audit_other_history"))
    signer = HeadSigner("local", "s" * 32, now=lambda: START)
    async with PostgresArchive(other.dsn, name="test", heads=signer).open() as writer:
        rows = [row_of(message, START) for message in messages("INBOX", 1, RECORDS)]
        await writer.write(rows)
    assert (await auditor.verify(other.dsn, None, SIGNER.public_key.hex())).faults == []
    report = await auditor.verify(other.dsn, witness, SIGNER.public_key.hex())
    assert report.faults == [
        "records 0 to 6 are not those of the head of 7 records",
        f"head of {RECORDS} records: two roots exist",
    ]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("UPDATE messages SET turn = 'another' WHERE leaf = {leaf}", "record {leaf}: column turn was changed"),
        (CHANGES["bytes and their hash"], "record {leaf}: its proof does not lead to the head of {records} records"),
    ],
)
async def test_one_conversation_is_verified_by_its_proofs(
    filled: ArchiveReader, witness: Path, change: str, fault: str
) -> None:
    """A change of another one is not its fault."""
    key = SIGNER.public_key.hex()
    await filled.execute(CHANGES["bytes and their hash"].format(leaf=149))  # message 150, of the conversation before
    untouched = await auditor.verify_conversation(filled.dsn, conversation_of(200), witness, key)
    assert (untouched.records, len(untouched.leaves), untouched.faults) == (100, 100, [])
    leaf = untouched.leaves[50]
    await filled.execute(change.format(leaf=leaf))
    changed = await auditor.verify_conversation(filled.dsn, conversation_of(200), witness, key)
    assert fault.format(leaf=leaf, records=RECORDS) in changed.faults


async def test_verification_of_an_unknown_conversation_is_an_error(filled: ArchiveReader) -> None:
    """Nothing was verified, so nothing is right."""
    with pytest.raises(CommandError, match="no record of conversation c0ffee"):
        await auditor.verify_conversation(filled.dsn, "c0ffee", None, "")


async def test_proofs_of_one_conversation_are_verified_without_the_others(
    filled: ArchiveReader, witness: Path, tmp_path: Path
) -> None:
    """With the proof that the latest head continues an earlier one; a changed record has no valid proof."""
    await auditor.export(filled.dsn, tmp_path / "whole")
    file = tmp_path / "whole" / "proof.jsonl"
    with file.open("w", encoding="utf-8") as out:
        assert await auditor.prove(filled.dsn, conversation_of(200), BATCHES[0], out) == 100
    done = await asyncio.to_thread(run_verifier, tmp_path / "whole", witness, file.name)
    assert (done.returncode, done.stderr) == (0, "")
    lines = file.read_text(encoding="utf-8").splitlines()
    changed = json.loads(lines[-1]) | {"subject": "conv.local.s1.other.turn"}
    file.write_text("\n".join([*lines[:-1], json.dumps(changed)]), encoding="utf-8")
    done = await asyncio.to_thread(run_verifier, tmp_path / "whole", witness, file.name)
    assert done.returncode == 1
    assert done.stdout.startswith(f"record {changed['leaf']}: its proof does not lead to the head of {RECORDS} records")


async def test_tree_continues_after_a_restart(archive: ArchiveReader) -> None:
    """With the rows that another session has written, for any part of a tile that they fill."""
    first = 1
    for count in (1, 255, 300, 3):
        async with PostgresArchive(archive.dsn, name="test", heads=SIGNER).open() as writer:
            await writer.position("CONVERSATIONS")
            rows = [row_of(message, START) for message in messages("CONVERSATIONS", max(1, first - 1), count + 1)]
            assert await writer.write(rows) == len(rows) - (first > 1)
        first += count + (first == 1)
    report = await auditor.verify(archive.dsn, None, SIGNER.public_key.hex())
    assert (report.records, report.heads, report.uncovered, report.faults) == (560, 4, 0, [])


async def test_older_rows_get_their_places_once(filled: ArchiveReader) -> None:
    """In the order of their time; a row that comes without a place later gets none."""
    await filled.execute(
        "UPDATE messages SET leaf = NULL; TRUNCATE tree_tiles, tree_heads, trees, positions, tree_keys"
    )
    for _ in range(2):
        async with PostgresArchive(filled.dsn, name="test", heads=SIGNER).open() as writer:
            await writer.position("CONVERSATIONS")
    report = await auditor.verify(filled.dsn, None, SIGNER.public_key.hex())
    assert (report.records, report.heads, report.faults) == (RECORDS, 1, [])
    await filled.execute("UPDATE messages SET leaf = NULL WHERE leaf = (SELECT max(leaf) FROM messages)")
    async with PostgresArchive(filled.dsn, name="test", heads=SIGNER).open() as writer:
        await writer.position("CONVERSATIONS")
    assert (
        "1 rows have no place in the tree: they were not written by audit"
        in (await auditor.verify(filled.dsn, None, SIGNER.public_key.hex())).faults
    )


async def test_recording_goes_on_although_a_row_of_the_last_tile_is_missing(filled: ArchiveReader) -> None:
    """Customers' messages do not wait for an auditor; the fault stays visible."""
    await filled.execute(CHANGES["removed"].format(leaf=RECORDS - 2))
    async with PostgresArchive(filled.dsn, name="test", heads=SIGNER).open() as writer:
        await writer.position("CONVERSATIONS")
        rows = [row_of(message, START) for message in messages("CONVERSATIONS", RECORDS + 1, 10)]
        assert await writer.write(rows) == 10
    report = await auditor.verify(filled.dsn, None, SIGNER.public_key.hex())
    assert f"record {RECORDS - 2} is missing, record {RECORDS - 1} follows" in report.faults


async def test_heads_without_a_key_are_named(archive: ArchiveReader) -> None:
    """They are no fault without a trusted key, and one each with it."""
    async with PostgresArchive(archive.dsn, name="test", heads=UNSIGNED).open() as writer:
        await fill(writer)
    checked = await auditor.verify(archive.dsn, None, "")
    heads = len(BATCHES)
    assert checked.summary == (
        f"{RECORDS} records, {heads} heads, 0 uncovered: no fault, {heads} of the heads are not signed"
    )
    assert len((await auditor.verify(archive.dsn, None, SIGNER.public_key.hex())).faults) == heads


@pytest.mark.parametrize(
    ("heads", "key", "reason"),
    [
        ("", "xyz", "'xyz' is not a public key in hex"),
        ('{"kind": "head", "size": 7}', "", "heads.jsonl: a head has no at, key, log, root, signature"),
        ("[]", "", "heads.jsonl: line 1: not an object"),
        ("{", "", "heads.jsonl: line 1: "),
    ],
)
async def test_unusable_input_is_named(tmp_path: Path, heads: str, key: str, reason: str) -> None:
    """Before the archive is read."""
    file = tmp_path / "heads.jsonl"
    file.write_text(heads, encoding="utf-8")
    with pytest.raises(CommandError, match=re.escape(reason)):
        await auditor.verify("postgresql://nowhere.invalid", file, key)


def test_exported_file_needs_no_package_of_ours() -> None:
    """It is Python 3.9, with the standard library and, for signatures, cryptography."""
    tree = ast.parse(Path(verifier.__file__).read_text(encoding="utf-8"), feature_version=(3, 9))
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    foreign = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names
    assert foreign == {"cryptography"}


class _Counter(io.TextIOBase):
    """A file that keeps nothing."""

    def __init__(self) -> None:
        self.lines = 0

    def write(self, text: str) -> int:
        self.lines += text.count("\n")
        return len(text)


async def test_heads_of_weeks_are_printed_in_bounded_memory(filled: ArchiveReader) -> None:
    """One is signed a second: they are read in portions."""
    count = 20_000
    await filled.execute(
        f"INSERT INTO tree_heads SELECT number + 1000000, log, root, at, key, signature "  # noqa: S608 - constants
        f"FROM tree_heads, generate_series(1, {count}) AS number WHERE size = {RECORDS}"
    )
    out = _Counter()
    tracemalloc.start()
    try:
        await auditor.print_heads(filled.dsn, out, after=1_000_000, follow=False)  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert out.lines == count
    # All of them take more than 20 MiB at once.
    assert peak < 4 * 1024 * 1024
