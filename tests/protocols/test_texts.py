"""Texts of customers in stored messages: which fields they are, and their encryption."""

from __future__ import annotations

import os
from base64 import b64decode
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace
from trunkline_chassis.customer_keys import DataKey
from trunkline_protocols import codec, streams
from trunkline_protocols.catalogue import CHANNELS
from trunkline_protocols.context import Fact, Utterance
from trunkline_protocols.customer_keys import hash_of
from trunkline_protocols.customers import CustomerKnown
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import Commit
from trunkline_protocols.texts import ERASED, StoredTexts, decrypt_texts, encrypt_texts, erase_texts, text_fields

from tests.protocols.golden import SAMPLES

WITHOUT_TEXTS = {
    "FleetRollout",
    "HeadSigned",
    "ReleaseRollout",
    "HoldPlaced",
    "HoldReleased",
    "NoticePublished",
    "NoticeRecalled",
    "NoticeReceipt",
    "FleetPublished",
    "Spent",
    "CustomerKey",
    "CustomerErased",
    "ToolCallsCounted",
    "ConversationViewed",
    "ResidencyViolated",
    "DeadLetter",
    "EndRequested",
    "WaitCancelled",
    "Claim",
}
"""Stored messages without words of a customer; a dead letter holds a message as its stream does."""

SAFE = {
    "StoredTexts": {"key"},
    "TurnReceived": {
        *("conversation", "message_id", "customer", "tenant", "region", "channel", "locale", "ingress", "tier"),
    },
    "FeedbackGiven": {"conversation"},
    "Reply": {"conversation", "person", "reply_id", "reply_to"},
    "HandBack": {"conversation", "person", "to", "reply_to"},
    "AddNote": {"conversation", "person", "note_id", "reply_to"},
    "Close": {"conversation", "person", "reply_to"},
    "Commit": {"conversation", "region", "tenant", "customer", "turn", "owner", "agent", "ids_before", "colour"},
    "Started": {"customer", "tenant", "channel", "locale", "tier"},
    "OwnerAssigned": {"to", "agent"},
    "TurnAnswered": {
        *("message_id", "specialty", "agent", "provider", "model", "instance", "notices", "title", "stop_reason"),
        "active_notices",
    },
    "Closed": {"person"},
    "Citation": {"document", "title"},
    "Retrieved": {"document"},
    "RoutingEvidence": {"reason"},
    "ProviderAttempt": {"provider", "model", "outcome"},
    "CustomerReplied": {"message_id"},
    "PersonReplied": {"reply_id", "person", "in_reply_to"},
    "HandedOff": {"from_", "to", "agent", "from_agent", "instance", "candidates", "provider", "model"},
    "Consulted": {"specialty", "agent", "consultation", "requested_by", "provider", "model"},
    "ToolUsed": {"specialty"},
    "ToolUse": {"tool", "key"},
    "Escalated": {"from_", "agent", "instance", "provider", "model"},
    "Breached": {"claimed_by"},
    "LeftQueue": {"to"},
    "Claimed": {"person"},
    "HandedBack": {"person", "to"},
    "NoteAdded": {"note_id", "person"},
    "Snapshot": {
        *("conversation", "owner", "agent", "customer", "tenant", "channel", "locale", "ids", "last_message"),
        *("replies", "colour"),
    },
    "Utterance": {"specialty", "documents"},
    "Escalation": {"from_", "claimed_by"},
    "EscalationWaiting": {"conversation", "region", "tenant", "customer"},
    "CustomerKnown": {"conversation", "reader"},
    "Fact": {"name"},
    "Reading": {"failure"},
    "ToolStepRecorded": {"by"},
    "ToolCall": {"id", "name"},
    "ToolOutcome": {"id"},
}
"""Fields of stored messages that are ids, names of the fleet or of operators, and kinds of failures."""

IN_MEMORY = {streams.WORK.name, streams.PRESENCE.name}
"""Nothing of them reaches a disk: their messages are in clear."""

KEY = DataKey(hash_of("default", "ada"), os.urandom(32))
STORED = [sample for sample in SAMPLES.values() if isinstance(sample, StoredTexts)]

MIN_CHARACTERS = 8
"""Length from which a text of a sample cannot be the name of something else by chance."""

TEXTS = st.text(max_size=40) | st.sampled_from(["enc1:", "enc1:AAAA", "\0x", "[erased]", "v1", "\ud83d"])
VALUES = (
    TEXTS | st.integers(-(2**53), 2**53) | st.booleans() | st.dictionaries(st.text(max_size=5), st.text(max_size=9))
)


class Part(msgspec.Struct):
    """A part of a planted message."""

    remark: str


class Planted(Commit, frozen=True, kw_only=True, tag="planted"):
    """A stored message with new fields that are in no list."""

    wish: str = ""
    parts: list[Part] = []  # noqa: RUF012 - msgspec copies it
    raw: bytes = b""


def stored_types() -> set[type[Any]]:
    """Return the messages that reach a disk."""
    return {
        message
        for channel in CHANNELS
        if channel.carrier in {"stream", "bucket"} and channel.stored_in not in IN_MEMORY
        for flow in channel.flows
        if not flow.reply
        for message in flow.messages
    }


def unlisted(type_: type[Any]) -> list[str]:
    """Return the fields of a message that are neither marked as text nor known to be safe."""
    return [
        f"{owner}.{field}"
        for owner, field, is_text in text_fields(type_)
        if not is_text and field != "key" and field not in SAFE.get(owner, set())
    ]


def test_every_stored_field_is_marked_as_text_or_known_to_be_safe() -> None:
    """A new field of a stored message needs a decision; one without words of a customer belongs into `SAFE`."""
    types = {type_ for type_ in stored_types() if type_.__name__ not in WITHOUT_TEXTS}
    assert {type_.__name__ for type_ in stored_types()} >= WITHOUT_TEXTS
    assert [field for type_ in types for field in unlisted(type_)] == []
    assert [type_.__name__ for type_ in types if not issubclass(type_, StoredTexts)] == []


def test_new_field_without_a_decision_is_found() -> None:
    """In a message, in a part of it, and in a list of parts."""
    assert unlisted(Planted)[-3:] == ["Planted.wish", "Part.remark", "Planted.raw"]


@pytest.mark.parametrize("sample", STORED, ids=lambda sample: type(sample).__name__)
def test_stored_message_shows_no_text(sample: StoredTexts) -> None:
    """And is the same again once it is decrypted."""
    encrypted = encrypt_texts(sample, KEY)
    assert [text for text in _texts(encrypted) if not str(text).startswith("enc1:")] == []
    stored = codec.encode(encrypted)
    assert [text for text in _texts(sample) if len(str(text)) > MIN_CHARACTERS and str(text).encode() in stored] == []
    decoded: StoredTexts = codec.Decoder[StoredTexts](type(sample)).decode(stored)
    assert decoded.key == KEY.id
    assert replace(decrypt_texts(decoded, KEY), key="") == sample


@given(texts=st.lists(TEXTS, max_size=4), values=st.lists(VALUES, max_size=4), claims=st.dictionaries(TEXTS, TEXTS))
def test_any_text_returns_as_it_was(texts: list[str], values: list[Any], claims: dict[str, str]) -> None:
    """Also one that looks like a ciphertext; half characters become U+FFFD as in every stored text."""
    known = CustomerKnown(
        facts=[Fact(name="n", value=value, read_at=1.0) for value in values],
        claims=claims,
        earlier=[Utterance(role="customer", text=text) for text in texts],
    )
    stored = codec.encode(encrypt_texts(known, KEY))
    found = replace(decrypt_texts(codec.customer_known.decode(stored), KEY), key="")
    assert found == codec.customer_known.decode(codec.encode(known))


@given(text=st.text(min_size=1), at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_changed_ciphertext_is_refused(text: str, at: int, bit: int) -> None:
    """Whichever bit is changed."""
    stored = encrypt_texts(_message(text), KEY)
    raw = bytearray(b64decode(stored.text[5:]))
    raw[at % len(raw)] ^= 1 << bit
    changed = replace(stored, text="enc1:" + msgspec.json.encode(bytes(raw)).decode().strip('"'))
    with pytest.raises(codec.DecodeError):
        decrypt_texts(changed, KEY)


@given(text=st.text(min_size=1))
def test_text_is_bound_to_its_place(text: str) -> None:
    """It is not valid in another conversation, message, field or type, nor under another key."""
    stored = encrypt_texts(_message(text), KEY)
    for other in (
        replace(stored, conversation="c2"),
        replace(stored, message_id="m2"),
        replace(stored, key=DataKey(hash_of("default", "bob"), os.urandom(32)).id),
    ):
        key = KEY if other.key == KEY.id else DataKey(hash_of("default", "bob"), os.urandom(32))
        with pytest.raises(codec.DecodeError):
            decrypt_texts(other, key)
    two = CustomerKnown(
        earlier=[Utterance(role="customer", text="one"), Utterance(role="customer", text="two")], claims={"a": "b"}
    )
    sealed = encrypt_texts(two, KEY)
    swapped = replace(sealed, earlier=list(reversed(sealed.earlier)))
    with pytest.raises(codec.DecodeError):
        decrypt_texts(swapped, KEY)
    with pytest.raises(codec.DecodeError):
        decrypt_texts(replace(sealed, claims={"a": sealed.earlier[0].text}), KEY)


@pytest.mark.parametrize("text", ["a message in clear", "enc1:no base64", "enc1:", "enc1:AAAA"])
def test_text_in_clear_is_refused_in_an_encrypted_message(text: str) -> None:
    """No text gets into a conversation without its key."""
    with pytest.raises(codec.DecodeError) as raised:
        decrypt_texts(replace(encrypt_texts(_message("hello"), KEY), text=text), KEY)
    assert text not in str(raised.value)


def test_erased_message_has_no_text() -> None:
    """Its ids, times and numbers stay."""
    people = SAMPLES["log.Commit-people"]
    assert isinstance(people, Commit)
    sample = encrypt_texts(people, KEY)
    erased = erase_texts(sample)
    assert set(_texts(erased)) == {ERASED}
    assert (erased.turn, erased.at, len(erased.events)) == (sample.turn, sample.at, len(sample.events))


def _message(text: str) -> TurnReceived:
    sample = SAMPLES["inbox.TurnReceived"]
    assert isinstance(sample, TurnReceived)
    return replace(sample, text=text)


def _texts(message: StoredTexts) -> list[object]:
    """Return the texts of a message, by the visitor that encrypts them."""
    found: list[object] = []

    class Recorder:
        id = "k"

        def encrypt(self, plain: bytes, context: bytes) -> bytes:
            found.append(msgspec.json.decode(plain[1:]) if plain[:1] == b"v" else plain[1:].decode())
            return b""

        def decrypt(self, ciphertext: bytes, context: bytes) -> bytes:
            raise AssertionError

    encrypt_texts(message, Recorder())
    return found
