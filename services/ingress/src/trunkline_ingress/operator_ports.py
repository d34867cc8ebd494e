"""Ports of the ingress towards operators, one per collaborator. Every I/O method may raise `BusUnavailableError`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from trunkline_chassis.fleet_store import FleetHistory, FleetVersion
from trunkline_chassis.rollout_store import R, StoredRollout
from trunkline_protocols.broadcast import NoticeMessage
from trunkline_protocols.customer_keys import CustomerErased
from trunkline_protocols.desk import DeskMessage, DeskOutcome
from trunkline_protocols.fleet import Fleet, FleetOrigin
from trunkline_protocols.holds import HoldMessage
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.inbox import FeedbackGiven
from trunkline_protocols.knowledge import (
    GetArticle,
    ImportArticles,
    KnowledgeReply,
    RestoreBackup,
    SearchKnowledge,
    TakeBackup,
)
from trunkline_protocols.log import CommitStored
from trunkline_protocols.presence import SuiteStatus
from trunkline_protocols.rollout import FleetRollout, ReleaseRollout
from trunkline_protocols.views import View

from trunkline_ingress.core.archived import ArchivedConversation
from trunkline_ingress.core.operators import Operator
from trunkline_ingress.core.rollout.tally import ObservedCommit
from trunkline_ingress.core.trace import ProvenRecords, RecordKey, ViewEntry


class Desk(Protocol):
    """Commands of people at the desk."""

    async def submit(
        self, region: str, conversation: ConversationId, make_command: Callable[..., DeskMessage]
    ) -> DeskOutcome:
        """Store a command and wait for its outcome.

        `make_command` takes conversation, previous, at and reply_to. If `BusUnavailableError` is raised, the command
        may still be executed.
        """
        ...


class ViewRecords(Protocol):
    """Records of operators who read a conversation."""

    async def record(self, region: str, conversation: ConversationId, view: View, operator: Operator) -> None:
        """Store a view; raises `BusUnavailableError` if that fails: then nothing is shown."""
        ...

    async def stored(self, region: str, conversation: ConversationId) -> list[ViewEntry]:
        """Read the views of a conversation; raises `BusUnavailableError`."""
        ...


class RecordProofs(Protocol):
    """The tree of records of the audit service."""

    async def prove(self, conversation: ConversationId) -> ProvenRecords:
        """Return the records of a conversation that the latest head's tree has; raises `BusUnavailableError`."""
        ...

    async def hashes(self, region: str, conversation: ConversationId) -> dict[RecordKey, str]:
        """Return the SHA-256 of the stored messages of a conversation, in hex."""
        ...


class ConversationArchive(Protocol):
    """Archived conversations."""

    async def read(self, conversation: ConversationId, *, whole: bool = False) -> ArchivedConversation:
        """Read an archived conversation, without records if there is no such one; raises `BusUnavailableError`.

        With `whole`, also the records that audit has and no archive.
        """
        ...


class HoldStore(Protocol):
    """Legal holds of a region."""

    async def append(self, message: HoldMessage) -> None:
        """Store a hold or its release; raises `BusUnavailableError` if the outcome is unknown."""
        ...

    async def messages(self) -> list[HoldMessage]:
        """Read all holds and releases; raises `DecodeError` if one cannot be read."""
        ...


class KnowledgeService(Protocol):
    """The knowledge service."""

    async def search(self, query: SearchKnowledge) -> KnowledgeReply:
        """Search for passages."""
        ...

    async def article(self, query: GetArticle) -> KnowledgeReply:
        """Read an article."""
        ...

    async def import_articles(self, command: ImportArticles) -> KnowledgeReply:
        """Import articles."""
        ...

    async def list_backups(self) -> KnowledgeReply:
        """List the backups and the backup or restore in progress."""
        ...

    async def run_backup(self, command: TakeBackup | RestoreBackup) -> KnowledgeReply:
        """Take or restore a backup and wait until it is done."""
        ...


class SuiteStatusSource(Protocol):
    """Status of the processes of all nodes."""

    async def status(self) -> SuiteStatus:
        """Return the status of every process."""
        ...


class OperatorDirectory(Protocol):
    """Operators by their tokens."""

    def find(self, token: str) -> Operator | None:
        """Return the operator that a token belongs to, None if it belongs to none."""
        ...


class ConsoleSessions(Protocol):
    """Sessions of the console in a browser."""

    def redeem(self, code: str) -> str | None:
        """Return the token of a new session for the code of a console link, None if the code is not valid (again)."""
        ...


class FleetStore(Protocol):
    """Versions of the fleet."""

    async def current(self) -> FleetVersion | None:
        """Read the current version, None if no fleet has been published."""
        ...

    async def history(self) -> FleetHistory:
        """Read the retained versions, oldest first."""
        ...

    async def publish(self, fleet: Fleet, *, after: int, by: str, origin: FleetOrigin, note: str) -> FleetVersion:
        """Publish the successor of version `after`; raise `FenceError` if another version came first."""
        ...


class RolloutStates(Protocol[R]):
    """State of the last roll-out, of a fleet version or a release."""

    async def read(self) -> StoredRollout[R]:
        """Read the state."""
        ...

    async def put(self, rollout: R, *, after: int) -> None:
        """Store the successor of revision `after`; raise `FenceError` if another process changed it."""
        ...


class RolloutStore(RolloutStates[FleetRollout], Protocol):
    """State of the last roll-out of a fleet version, and its candidate."""

    async def publish_candidate(self, fleet: Fleet, *, by: str, note: str) -> FleetVersion:
        """Publish a candidate; no conversation has it before a roll-out names its version."""
        ...

    async def publish(self, candidate: FleetVersion, *, after: int, note: str) -> FleetVersion:
        """Publish a candidate as the successor of version `after`; raise `FenceError` if another version came first."""
        ...


ReleaseStore: TypeAlias = RolloutStates[ReleaseRollout]


class CommitFeed(Protocol):
    """Commits of all conversations."""

    async def last(self) -> int:
        """Return the sequence of the last commit, 0 without one."""
        ...

    async def read(self, *, after: int) -> list[tuple[int, ObservedCommit | None]]:
        """Read the next commits, each with its sequence; None for one that cannot be decoded."""
        ...


class Erasures(Protocol):
    """Erasures of customers."""

    async def erase(self, tenant: str, customer: str, *, operator: str) -> CustomerErased | None:
        """Destroy the key of a customer and return the receipt, None if there is no key."""
        ...


class CustomerConversations(NamedTuple):
    """Conversations that may be those of a customer, by an index of the commits up to a sequence."""

    conversations: Sequence[ConversationId]
    recorded: int


class CustomerIndex(Protocol):
    """Conversations by customer."""

    async def conversations(self, tenant: str, customer: str) -> CustomerConversations:
        """Return the conversations; raises `BusUnavailableError` with the reason if the index cannot be used."""
        ...


class CustomerRecords(Protocol):
    """Data of one customer in the streams of a region."""

    def commits(
        self, region: str, tenant: str, customer: str, *, after: int = 0, conversation: ConversationId | None = None
    ) -> AsyncIterator[CommitStored]:
        """Yield the commits of a customer behind a sequence, of all conversations or of one."""
        ...

    def ratings(self, region: str, conversations: set[ConversationId]) -> AsyncIterator[FeedbackGiven]:
        """Yield the ratings of conversations, from the whole inbox."""
        ...

    def ratings_of(self, region: str, conversation: ConversationId) -> AsyncIterator[tuple[int, FeedbackGiven]]:
        """Yield the ratings of one conversation, each with its sequence, from its part of the inbox."""
        ...


class WrappedKeys(Protocol):
    """Keys of customers, encrypted by the wrapping key."""

    async def rewrap(self) -> int:
        """Encrypt those with the current wrapping key that another one has encrypted; return their number."""
        ...


class NoticeStore(Protocol):
    """Stream of notices and their receipts."""

    async def publish(self, message: NoticeMessage, *, message_id: str, ttl_s: float) -> None:
        """Publish a notice or its recall; the stream drops it after `ttl_s`."""
        ...

    async def receipts(self, notice: str) -> set[str]:
        """Return the instances that have confirmed a notice."""
        ...
