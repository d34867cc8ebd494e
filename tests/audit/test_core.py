"""What is kept of a message. Pure."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st
from trunkline_audit.core.records import Message, Row, delay_s, row_of
from trunkline_protocols import subjects
from trunkline_protocols.ids import ConversationId

_AT = datetime(2026, 1, 2, tzinfo=UTC)
_CONVERSATION = ConversationId("cabc")
_INBOX = subjects.inbox("local", _CONVERSATION)


def _row(payload: bytes, *, subject: str = _INBOX, stream: str = "INBOX") -> Row:
    return row_of(Message(stream=stream, sequence=7, at=_AT, subject=subject, payload=payload), _AT)


@given(st.binary() | st.text().map(lambda text: json.dumps({"type": text, "turn": text}).encode()))
def test_any_payload_is_kept_as_it_is(payload: bytes) -> None:
    """No bytes make a row fail, and no text column gets a NUL."""
    row = _row(payload)
    assert row.raw == payload
    assert row.sha256 == hashlib.sha256(payload).digest()
    assert not any("\x00" in text for text in (row.type, row.turn, row.payload) if text is not None)


@given(st.text(alphabet="\x00\\u0ax", min_size=1))
def test_only_the_nul_is_replaced_in_json(text: str) -> None:
    """Backslashes before it are no part of it, however many there are."""
    kept = _row(json.dumps({"text": text}).encode()).payload
    assert kept is not None
    assert json.loads(kept)["text"] == text.replace("\x00", "\ufffd")


def test_turn_of_a_question_is_named_by_its_place_in_the_inbox() -> None:
    """So it is the same name that the answer's commit carries."""
    row = _row(b'{"type":"turn.received"}')
    assert (row.conversation, row.turn, row.region) == ("cabc", "cabc-7", "local")


def test_commit_names_its_turn() -> None:
    """The answer stands beside its question."""
    row = _row(b'{"type":"commit","turn":"cabc-7"}', subject=subjects.log("local", _CONVERSATION, "turn"))
    assert (row.conversation, row.turn, row.type) == ("cabc", "cabc-7", "commit")


def test_dead_letter_belongs_to_the_conversation_of_its_message() -> None:
    """Its own subject says only where it came from."""
    letter = json.dumps({"type": "dead_letter", "subject": _INBOX}).encode()
    assert _row(letter, subject=subjects.dead_letter("INBOX", "slot-local-0")).conversation == "cabc"


@pytest.mark.parametrize("subject", ["notice.local.all", "inbox.local.99.cabc", "inbox", "conv.local.1.x.unknown"])
def test_message_of_no_conversation_has_none(subject: str) -> None:
    """A subject that is none of ours is no reason not to keep the message."""
    assert _row(b'{"type":"turn.received"}', subject=subject).conversation is None


@given(st.integers(min_value=1, max_value=10_000), st.floats(min_value=0, max_value=1, exclude_max=True))
def test_delay_grows_and_is_bounded(failures: int, chance: float) -> None:
    """From 0.1 s up to 5 s, whatever happens."""
    assert 0.1 <= delay_s(failures, chance) <= 5.0
    assert delay_s(failures, chance) <= delay_s(failures + 1, chance)
