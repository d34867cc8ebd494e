"""The archived row of a message, and the delay between retries. Pure."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st
from trunkline_audit.core.records import ArchiveRow, AuditedMessage, retry_delay_s, row_of
from trunkline_protocols import subjects
from trunkline_protocols.ids import ConversationId

_AT = datetime(2026, 1, 2, tzinfo=UTC)
_CONVERSATION = ConversationId("cabc")
_INBOX = subjects.inbox("local", _CONVERSATION)


def _row(payload: bytes, *, subject: str = _INBOX, stream: str = "INBOX") -> ArchiveRow:
    return row_of(AuditedMessage(stream=stream, sequence=7, at=_AT, subject=subject, payload=payload), _AT)


@given(st.binary() | st.text().map(lambda text: json.dumps({"type": text, "turn": text}).encode()))
def test_any_payload_is_archived_unchanged(payload: bytes) -> None:
    """No payload raises, and no text column contains a NUL."""
    row = _row(payload)
    assert row.raw == payload
    assert row.sha256 == hashlib.sha256(payload).digest()
    assert not any("\x00" in text for text in (row.type, row.turn, row.payload) if text is not None)


@given(st.text(alphabet="\x00\\u0ax", min_size=1))
def test_only_nul_is_replaced_in_json(text: str) -> None:
    """Any number of backslashes before the escape is preserved."""
    archived = _row(json.dumps({"text": text}).encode()).payload
    assert archived is not None
    assert json.loads(archived)["text"] == text.replace("\x00", "\ufffd")


def test_turn_of_a_customer_message_is_derived_from_its_inbox_sequence() -> None:
    """The commit of the answer has the same turn id."""
    row = _row(b'{"type":"turn.received"}')
    assert (row.conversation, row.turn, row.region) == ("cabc", "cabc-7", "local")


def test_commit_has_the_turn_of_its_question() -> None:
    """A query by turn returns question and answer."""
    row = _row(b'{"type":"commit","turn":"cabc-7"}', subject=subjects.log("local", _CONVERSATION, "turn"))
    assert (row.conversation, row.turn, row.type) == ("cabc", "cabc-7", "commit")


def test_dead_letter_belongs_to_the_conversation_of_its_message() -> None:
    """Its own subject names only stream and consumer."""
    letter = json.dumps({"type": "dead_letter", "subject": _INBOX}).encode()
    assert _row(letter, subject=subjects.dead_letter("INBOX", "slot-local-0")).conversation == "cabc"


@pytest.mark.parametrize("subject", ["notice.local.all", "inbox.local.99.cabc", "inbox", "conv.local.1.x.unknown"])
def test_message_outside_a_conversation_has_no_conversation(subject: str) -> None:
    """A message with an unknown subject is archived as well."""
    assert _row(b'{"type":"turn.received"}', subject=subject).conversation is None


@given(st.integers(min_value=1, max_value=10_000), st.floats(min_value=0, max_value=1, exclude_max=True))
def test_retry_delay_grows_and_is_bounded(failures: int, jitter: float) -> None:
    """From 0.1 s to 5 s, for any number of failures."""
    assert 0.1 <= retry_delay_s(failures, jitter) <= 5.0
    assert retry_delay_s(failures, jitter) <= retry_delay_s(failures + 1, jitter)
