"""Messages between ingress and audit: the records of an archived conversation, and proofs of any one's records.

Hashes, roots, keys and signatures are in hex.
"""

from __future__ import annotations

from typing import TypeAlias

from trunkline_protocols.ids import ConversationId
from trunkline_protocols.refusal import Refused
from trunkline_protocols.wire import Record, Wire


class ReadArchived(Wire, frozen=True, kw_only=True, tag="archive.read"):
    """Request for the archived records of a conversation behind a place in the tree of records."""

    conversation: ConversationId
    after: int = -1
    """Leaf of the last record that the caller has."""
    whole: bool = False
    """If true, the records that are in no archive yet too."""


class ArchivedRecord(Record, frozen=True, kw_only=True):
    """One message as its stream held it. `at` in Unix seconds, when the stream stored it."""

    leaf: int
    stream: str
    sequence: int
    subject: str
    at: float
    payload: bytes


class ArchivedRecords(Wire, frozen=True, kw_only=True, tag="archive.records"):
    """Reply with records in the order of their leaves; without any if the conversation is not archived."""

    conversation: ConversationId
    records: list[ArchivedRecord] = []
    archives: list[str] = []
    """Names of the archives that the records come from."""
    has_more: bool = False
    """If true, further records follow the last one."""


class ProveRecords(Wire, frozen=True, kw_only=True, tag="archive.prove"):
    """Request for the proofs of a conversation's records behind a place in the tree of records."""

    conversation: ConversationId
    after: int = -1
    """Leaf of the last record that the caller has."""


class ProvenRecord(Record, frozen=True, kw_only=True):
    """A record that the tree of a signed head has at a leaf; `sha256` is that of the message's bytes."""

    leaf: int
    stream: str
    sequence: int
    sha256: str


class SignedHead(Record, frozen=True, kw_only=True):
    """A signed head of the tree of records; `at` in microseconds since 1970, as the signature covers it."""

    log: str
    size: int
    root: str
    at: int
    key: str
    """Name of the key; empty if the heads are not signed."""
    signature: str


class RecordsProven(Wire, frozen=True, kw_only=True, tag="archive.proven"):
    """Reply with the records of a conversation whose proofs lead to the latest head, in the order of their leaves."""

    conversation: ConversationId
    head: SignedHead | None = None
    """The latest head, None before the first one."""
    records: list[ProvenRecord] = []
    faults: list[str] = []
    """Records whose proofs fail, and a signature that is not that of the key."""
    has_more: bool = False
    """If true, further records follow the last one."""


class ListConversations(Wire, frozen=True, kw_only=True, tag="archive.list"):
    """Request for the conversations of a customer, in the order of their ids."""

    tenant: str
    customer: str
    after: str = ""
    """Id of the last conversation that the caller has."""


class ConversationsListed(Wire, frozen=True, kw_only=True, tag="archive.listed"):
    """Reply with conversations that may be those of the customer: the caller reads whose they are."""

    conversations: list[str] = []
    recorded: int = 0
    """Sequence in CONVERSATIONS up to which the audit trail has all commits; later ones are not listed."""
    sha256: str = ""
    """Hash of the commit at that sequence; another one means that the stream was created again."""
    skipped: int = 0
    """Commits that PostgreSQL refused in every form."""
    has_more: bool = False
    """If true, further conversations follow the last one."""


ListReply: TypeAlias = ConversationsListed | Refused
ProofReply: TypeAlias = RecordsProven | Refused
ArchiveReply: TypeAlias = ArchivedRecords | Refused
