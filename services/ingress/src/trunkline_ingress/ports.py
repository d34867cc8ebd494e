"""Ports of the ingress towards customers, one per collaborator. Every I/O method may raise `BusUnavailableError`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Generic, NamedTuple, Protocol, TypeVar

from trunkline_chassis.customer_bucket import StoredCustomer
from trunkline_chassis.served_fleets import ServedFleets
from trunkline_protocols.broadcast import NoticePublished
from trunkline_protocols.customers import CustomerKnown
from trunkline_protocols.escalation import EscalationWaiting
from trunkline_protocols.fleet import Fleet
from trunkline_protocols.ids import ConversationId, TurnId
from trunkline_protocols.inbox import FeedbackGiven, InboxMessage
from trunkline_protocols.log import Commit, CommitStored
from trunkline_protocols.presence import Presence
from trunkline_protocols.subjects import Audience
from trunkline_protocols.texts import M
from trunkline_protocols.turn import Delta, SocketAttached

from trunkline_ingress.core.identity import Claims, Identity
from trunkline_ingress.core.trace import InboxEntry

T = TypeVar("T")


class InboxPosition(NamedTuple):
    """Position of a stored message in the inbox."""

    seq: int
    """Sequence of the stream."""
    duplicate: bool = False
    """True if the same message id had been stored before."""


class UnsettledMessages(NamedTuple):
    """Messages of a customer that no commit settles yet."""

    end: int
    """Inbox sequence of the conversation's last message, settled or not, decodable or not; 0 for an empty inbox."""
    messages: list[tuple[int, InboxMessage]]
    """Messages with their sequences, in order."""


class CustomerInbox(Protocol):
    """Stream of customers' messages."""

    async def append(
        self, region: str, conversation: ConversationId, message: InboxMessage, *, message_id: str
    ) -> InboxPosition:
        """Append a message behind `message.previous`.

        Raises `FenceError` if another ingress has appended in between, `BusUnavailableError` if the outcome is unknown.
        """
        ...

    async def unsettled(self, region: str, conversation: ConversationId, *, after: int) -> UnsettledMessages:
        """Read the messages after the last settled sequence, and the end of the inbox."""
        ...

    async def contains(self, region: str, conversation: ConversationId) -> bool:
        """Return whether the inbox holds any message of a conversation."""
        ...


class InboxHistory(Protocol):
    """Stored messages of a conversation with subject and sequence, for operators."""

    async def messages(self, region: str, conversation: ConversationId) -> list[InboxEntry]:
        """Read the customer's messages."""
        ...

    async def desk_commands(self, region: str, conversation: ConversationId) -> list[InboxEntry]:
        """Read the commands of people at the desk."""
        ...


class ConversationLog(Protocol):
    """Log of commits, read from the stream's leader."""

    async def commits(self, region: str, conversation: ConversationId, *, after: int) -> list[CommitStored]:
        """Read the conversation's commits after a log sequence."""
        ...

    async def last_commit(self, region: str, conversation: ConversationId) -> CommitStored | None:
        """Read the conversation's last commit, None if the log is empty."""
        ...

    async def commit_at(self, sequence: int) -> CommitStored | None:
        """Read the commit at a log sequence, None if not found."""
        ...


class RecentMessages(NamedTuple, Generic[T]):
    """Messages at the end of a stream."""

    end: int
    """Sequence up to which the stream was read."""
    messages: list[T]
    """In order; undecodable ones are left out."""


class RecentRecords(Protocol):
    """The ends of the log and of the inbox, over all conversations of a region."""

    async def commits(self, region: str, *, after: int, limit: int) -> RecentMessages[Commit]:
        """Read the commits after a sequence, but at most the last `limit` sequences of the stream."""
        ...

    async def ratings(self, region: str, *, after: int, limit: int) -> RecentMessages[FeedbackGiven]:
        """Read the customers' ratings in the same way."""
        ...


class SocketPresence(Protocol):
    """Announcements of the ingress that holds a conversation's socket."""

    async def announce(self, region: str, attached: SocketAttached) -> None:
        """Announce that this ingress holds the socket."""
        ...


class TextKeys(Protocol):
    """Keys of customers' texts; both methods raise `BusError` if a key cannot be read now."""

    async def key_of(self, tenant: str, customer: str) -> str:
        """Return the id of the key for new texts of a customer, by the hash; empty if they are stored in clear."""
        ...

    async def is_erased(self, key: str) -> bool:
        """Return whether a key is destroyed."""
        ...


class StoredTextReader(Protocol):
    """Texts of stored messages."""

    async def decrypt_or_erase(self, message: M) -> M:
        """Return a message with its texts in clear, or with `ERASED` in their place."""
        ...


class TurnCanceller(Protocol):
    """Cancellation of turns."""

    async def cancel(self, turn: TurnId) -> None:
        """Cancel the completion of a turn, best effort: if the request is lost, the answer is completed."""
        ...


class TurnAdmission(Protocol):
    """Decision on new turns, which follows those in flight."""

    def reserved(self, identity: Identity, *, is_exempt: bool) -> AbstractContextManager[Callable[[int], None]]:
        """Reserve a turn while its message is stored; raises an error if it is refused.

        The function takes the sequence of the stored message; without a call the turn is released.
        """
        ...

    def adopt(self, identity: Identity, inbox_seqs: Iterable[int]) -> None:
        """Follow the unanswered messages of a resumed conversation."""
        ...

    def is_following(self, conversation: ConversationId) -> bool:
        """Return whether a turn of a conversation is in flight."""
        ...

    def observe(self, item: CommitStored | Delta) -> None:
        """Follow the progress of a turn."""
        ...

    def forget(self, conversation: ConversationId) -> None:
        """Follow a conversation no longer: another ingress does."""
        ...


class TokenVerifier(Protocol):
    """Access tokens of customers."""

    async def verify(self, token: str) -> Claims:
        """Return the claims of a token; raise `UnauthorizedError` if it is not valid now."""
        ...


class CurrentFleet(Protocol):
    """The current fleet."""

    @property
    def fleet(self) -> Fleet:
        """The served fleet."""
        ...

    @property
    def fleets(self) -> ServedFleets:
        """The served fleet and the candidate of a roll-out."""
        ...


class NoticeView(Protocol):
    """The active notices."""

    def active(self, audience: Audience, *, tenant: str = "") -> list[NoticePublished]:
        """Return the notices for an audience that apply to a tenant, the latest last."""
        ...


class EscalationView(Protocol):
    """Escalations that wait for a person or are claimed by one."""

    @property
    def values(self) -> Mapping[str, EscalationWaiting]:
        """Escalations by conversation."""
        ...


class LiveProcesses(Protocol):
    """Processes with a recent heartbeat."""

    def alive(self) -> Collection[Presence]:
        """Return the last heartbeat of every live process."""
        ...


class TopologyProbe(Protocol):
    """Streams and consumers that a turn needs."""

    async def missing(self) -> list[str]:
        """Return those that are missing or without a leader; raises `BusError` if the server does not reply."""
        ...


class StreamState(NamedTuple):
    """A stream with a leader: its configured copies, and those that are online and up to date."""

    replicas: int
    current: int
    """The leader included."""


class Site(NamedTuple):
    """A suite of another region: its public address, and whether it answers."""

    region: str
    url: str
    is_reachable: bool


class Sites(Protocol):
    """The suites of other regions."""

    def find(self, region: str) -> Site | None:
        """Return the site of a region, None for the own one and for an unknown one."""
        ...


class StreamStates(Protocol):
    """Description of streams by their leaders."""

    async def state(self, name: str) -> StreamState | None:
        """Return the state of a stream, None if no leader replies."""
        ...


class StoredCustomers(Protocol):
    """Customers in KV CUSTOMERS, by subject."""

    async def load(self, key: str) -> StoredCustomer:
        """Return the stored value."""
        ...

    async def update(self, key: str, change: Callable[[StoredCustomer], CustomerKnown | None]) -> CustomerKnown:
        """Store the change of the last value, again after a conflict; return the value then."""
        ...

    async def forget(self, key: str) -> bool:
        """Delete the value; return whether there was one."""
        ...
