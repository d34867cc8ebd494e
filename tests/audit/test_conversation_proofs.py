"""Proofs of a conversation's records on request, verified as an auditor verifies them."""

from __future__ import annotations

import hashlib

import pytest
from trunkline_audit.adapters.conversation_proofs import ConversationProofs
from trunkline_audit.adapters.postgres import PostgresArchive
from trunkline_audit.core.records import row_of
from trunkline_audit.handlers import ArchiveHandlers
from trunkline_protocols.archives import ProveRecords, RecordsProven
from trunkline_protocols.refusal import Refused

from tests.audit.harness import UNSIGNED, ArchiveReader
from tests.audit.test_tampering import RECORDS, SIGNER, START, conversation_of, filled, messages
from tests.support.borders import ListedBorders

__all__ = ["filled"]
pytestmark = pytest.mark.processes


async def proven(archive: ArchiveReader, number: int, *, after: int = -1) -> RecordsProven:
    return await ConversationProofs(archive.dsn).prove(ProveRecords(conversation=conversation_of(number), after=after))


async def test_records_of_a_conversation_are_proven_with_their_hashes(filled: ArchiveReader) -> None:
    """By the latest head; a record behind it is not proven yet."""
    reply = await proven(filled, 100)
    assert reply.head is not None
    assert (reply.head.size, reply.head.key, reply.faults) == (RECORDS, SIGNER.key_name, [])
    expected = messages("CONVERSATIONS", 100, 100)
    assert [(each.leaf, each.sequence) for each in reply.records] == [
        (message.sequence - 1, message.sequence) for message in expected
    ]
    assert [each.sha256 for each in reply.records] == [
        hashlib.sha256(message.payload).hexdigest() for message in expected
    ]
    assert not reply.has_more
    assert [each.leaf for each in (await proven(filled, 100, after=197)).records] == [198]
    async with PostgresArchive(filled.dsn, name="late", heads=SIGNER).open() as writer:
        await writer.write([row_of(message, START) for message in messages("INBOX", 100, 1)])
        assert len((await proven(filled, 100)).records) == 100
        await writer.sign_head()
        assert len((await proven(filled, 100)).records) == 101


@pytest.mark.parametrize(
    "change", ["raw = 'x', sha256 = sha256('x')", "subject = 'conv.local.0.other.turn'", "at = at + interval '1 s'"]
)
async def test_changed_record_is_a_fault(filled: ArchiveReader, change: str) -> None:
    """And the others are proven still."""
    await filled.execute(f"UPDATE messages SET {change} WHERE leaf = 120")  # noqa: S608 - constants
    reply = await proven(filled, 100)
    assert reply.faults == [f"record 120: its proof does not lead to the head of {RECORDS} records"]
    assert 120 not in {each.leaf for each in reply.records}
    assert len(reply.records) == 99


async def test_forged_head_is_a_fault(filled: ArchiveReader) -> None:
    await filled.execute(f"UPDATE tree_heads SET root = sha256('x') WHERE size = {RECORDS}")  # noqa: S608 - constants
    reply = await proven(filled, 100)
    assert reply.faults == [f"head of {RECORDS} records: the signature is not that of key {SIGNER.key_name}"]
    assert reply.records == []


async def test_archive_without_a_head_proves_nothing(archive: ArchiveReader) -> None:
    async with PostgresArchive(archive.dsn, name="test", heads=UNSIGNED).open() as writer:
        await writer.write([row_of(message, START) for message in messages("INBOX", 100, 1)])
        assert await proven(archive, 100) == RecordsProven(conversation=conversation_of(100))


async def test_database_that_is_away_is_a_refusal() -> None:
    """With its reason; a later request may succeed."""
    handlers = ArchiveHandlers(None, ConversationProofs("postgresql://x@127.0.0.1:1/x"), None, ListedBorders())  # type: ignore[arg-type]
    reply = await handlers.prove(ProveRecords(conversation=conversation_of(1)))
    assert isinstance(reply, Refused)
    assert (reply.code, reply.retryable) == ("unavailable", True)
