"""Session of one conversation on one open socket: accepts messages, numbers durable frames, streams deltas.

Everything that assigns a number runs under one lock, in sending order. Outgoing frames pass through a bounded queue; a
reader too slow for it is disconnected and can resume.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, TypedDict

from trunkline_chassis.errors import BusUnavailableError, FenceError, TextsErasedError
from trunkline_chassis.texts import NO_KEYS
from trunkline_chassis.tracing import span_types as spans
from trunkline_chassis.tracing.tracer import span, start_trace
from trunkline_protocols import codec
from trunkline_protocols.customer_keys import hash_of
from trunkline_protocols.frames import AcceptedFrame, DurableFrame, MessageFrame, ServerFrame
from trunkline_protocols.ids import ConversationId, Instance, turn_id
from trunkline_protocols.inbox import EndRequested, FeedbackGiven, InboxMessage, TurnReceived, WaitCancelled
from trunkline_protocols.log import CommitStored
from trunkline_protocols.turn import Delta, SocketAttached

from trunkline_ingress.application.admission import ADMIT_ALL
from trunkline_ingress.application.recovery import recover
from trunkline_ingress.core.delta_filter import DeltaFilter
from trunkline_ingress.core.identity import Identity
from trunkline_ingress.core.ledger import Ledger
from trunkline_ingress.ports import (
    ConversationLog,
    CustomerInbox,
    SocketPresence,
    TextKeys,
    TurnAdmission,
    TurnCanceller,
)

_MIN_CHECK_DELAY_S: Final = 2.0
_MAX_CHECK_DELAY_S: Final = 10.0
PERSON_REQUEST: Final = "I would like to talk to a person."
"""Text of a request for a person that has none."""

Outgoing: TypeAlias = ServerFrame | CommitStored | Delta


class StaleSessionError(Exception):
    """The session's state is out of date: the client must resume."""

    def __init__(self, conversation: ConversationId, reason: str) -> None:
        """Keep the conversation for the log."""
        super().__init__(reason)
        self.conversation = conversation


class ErasedConversationError(Exception):
    """The texts of the conversation are erased: it cannot be resumed."""


class SlowReaderError(Exception):
    """The client reads slower than frames are sent to it."""


class _InboxHeader(TypedDict):
    """Fields that a message, a request to end and one to leave the queue have in common."""

    conversation: ConversationId
    previous: int
    customer: str
    tenant: str
    ingress: Instance
    received_at: float


@dataclass(frozen=True, slots=True)
class SessionPorts:
    """Collaborators of a session."""

    inbox: CustomerInbox
    log: ConversationLog
    presence: SocketPresence
    canceller: TurnCanceller
    texts: TextKeys = NO_KEYS
    admission: TurnAdmission = ADMIT_ALL


class Session:
    """A conversation on one socket."""

    def __init__(
        self,
        identity: Identity,
        ports: SessionPorts,
        *,
        ingress: Instance,
        send: Callable[[bytes], Awaitable[None]],
        now: Callable[[], float],
        max_queued_frames: int,
    ) -> None:
        """`send` writes one frame to the socket, `now` returns Unix seconds."""
        self.identity = identity
        self._ports = ports
        self._ingress = ingress
        self._send = send
        self._now = now
        self._ledger = Ledger()
        self._deltas = DeltaFilter()
        self._lock = asyncio.Lock()
        self._outgoing: asyncio.Queue[Outgoing] = asyncio.Queue(max_queued_frames)
        self._attached_at = now()
        self._text_key: str | None = None
        """Id of the key that this session stores texts with, once it is known."""
        self._check_at = 0.0
        self._check_delay_s = _MIN_CHECK_DELAY_S
        self._overflowed = asyncio.Event()

    @property
    def conversation(self) -> ConversationId:
        """The conversation of this session."""
        return self.identity.conversation

    @property
    def attached(self) -> SocketAttached:
        """The announcement that this ingress holds the socket."""
        return SocketAttached(conversation=self.conversation, ingress=self._ingress, attached_at=self._attached_at)

    @property
    def closed(self) -> bool:
        """True if the conversation is closed."""
        return self._ledger.closed

    # -- from the client ---

    async def restore(self, last_seq: int) -> list[DurableFrame] | None:
        """Load the conversation; return the frames after `last_seq`, None if `last_seq` was never assigned.

        Raises `ErasedConversationError` if its texts are erased.
        """
        self._ledger, missed = await recover(
            self._ports.inbox, self._ports.log, self.identity.region, self.conversation, last_seq=last_seq
        )
        if self._ledger.is_erased or await self._ports.texts.is_erased(self._ledger.text_key):
            raise ErasedConversationError
        self._ports.admission.adopt(self.identity, self._ledger.unanswered.values())
        return missed if last_seq <= self._ledger.last_seq else None

    async def accept_message(self, message_id: str, text: str, *, wants_person: bool = False) -> None:
        """Store a message and send `accepted`; if the id is known, send the same `accepted` as before.

        A new message may be refused by the admission; a request for a person is not.
        """
        async with self._lock:
            seq = await self._accepted_seq(message_id)
            if seq is not None:
                await self._write(AcceptedFrame(id=message_id, seq=seq))
                return
            with self._ports.admission.reserved(self.identity, is_exempt=wants_person) as begin:
                await self._accept_new(message_id, text, begin, wants_person=wants_person)

    async def _accept_new(
        self, message_id: str, text: str, begin: Callable[[int], None], *, wants_person: bool
    ) -> None:
        message = TurnReceived(
            **self._header(),
            message_id=message_id,
            text=text,
            seq=self._ledger.next_seq,
            region=self.identity.region,
            channel=self.identity.channel,
            locale=self.identity.locale,
            tier=self.identity.tier,
            wants_person=wants_person,
            verified=self.identity.verified,
            key=await self._key(),
        )
        with start_trace(spans.ACCEPT_MESSAGE) as trace:
            trace.set(spans.CONVERSATION, self.conversation)
            with span(spans.APPEND_INBOX):
                inbox_seq = await self._store(message, message_id)
            begin(inbox_seq)
            await self._write(self._ledger.accept(message_id, inbox_seq))
        self._reset_check()

    async def request_person(self, request_id: str, text: str) -> None:
        """Store a request for a person as a message; without an id it gets one that no client can choose."""
        message_id = request_id or f"person.{self._ledger.next_seq}"
        await self.accept_message(message_id, text or PERSON_REQUEST, wants_person=True)

    async def _accepted_seq(self, message_id: str) -> int | None:
        """Return the number that a message was accepted with, None if it is new."""
        if self._ledger.is_uncertain(message_id):
            # Possibly a repeat of a message answered in a part of the log that the resume did not read.
            self._ledger.add_history(await self._commits(after=0))
        return self._ledger.accepted.get(message_id)

    async def request_end(self) -> None:
        """Store the request to end and cancel answers in progress; `closed` follows with its commit."""
        async with self._lock:
            await self._store_request(EndRequested(**self._header()), "end")
            for inbox_seq in self._ledger.unanswered.values():
                await self._ports.canceller.cancel(turn_id(self.conversation, inbox_seq))
            self._reset_check()

    async def store_feedback(self, rating: int, text: str) -> None:
        """Store the customer's rating."""
        async with self._lock:
            feedback = FeedbackGiven(
                conversation=self.conversation,
                previous=self._ledger.last_inbox,
                rating=rating,
                text=text,
                received_at=self._now(),
                key=await self._key() if text else "",
            )
            await self._store_request(feedback, "feedback")

    async def leave_queue(self) -> None:
        """Store the request to leave the escalation queue."""
        async with self._lock:
            await self._store_request(WaitCancelled(**self._header()), "cancel")

    def _header(self) -> _InboxHeader:
        return _InboxHeader(
            conversation=self.conversation,
            previous=self._ledger.last_inbox,
            customer=self.identity.customer,
            tenant=self.identity.tenant,
            ingress=self._ingress,
            received_at=self._now(),
        )

    async def _key(self) -> str:
        """Return the id of the key for texts: the same for the whole session, so that none outlives its erasure."""
        if self._text_key is None:
            identity = self.identity
            try:
                self._text_key = await self._ports.texts.key_of(
                    identity.tenant, hash_of(identity.tenant, identity.customer)
                )
            except TextsErasedError as error:
                raise StaleSessionError(self.conversation, str(error)) from error
        return self._text_key

    async def _store_request(self, request: InboxMessage, kind: str) -> None:
        """Store a request, deduplicated by its kind and the inbox message before it."""
        self._ledger.last_inbox = await self._store(request, f"{kind}-{self._ledger.last_inbox}")

    async def _store(self, message: InboxMessage, message_id: str) -> int:
        try:
            position = await self._ports.inbox.append(
                self.identity.region, self.conversation, message, message_id=message_id
            )
        except (FenceError, BusUnavailableError, TextsErasedError) as error:
            raise StaleSessionError(self.conversation, str(error)) from error
        if position.duplicate:
            # Another session stored it and its result was not received here: its number is in the stream.
            raise StaleSessionError(self.conversation, "the message is already stored")
        return position.seq

    # -- to the client ---

    def enqueue(self, item: Outgoing) -> None:
        """Queue an item for the socket without waiting; if the queue is full, the session ends."""
        if isinstance(item, CommitStored | Delta):
            self._ports.admission.observe(item)
        try:
            self._outgoing.put_nowait(item)
        except asyncio.QueueFull:
            self._overflowed.set()

    async def run(self) -> None:
        """Send queued items until cancelled; raise `SlowReaderError` if the queue overflows."""
        while not self._overflowed.is_set():
            item = await self._outgoing.get()
            match item:
                case Delta():
                    frame = self._deltas.filter(item)
                    if frame is not None:
                        await self._write(frame)
                case CommitStored():
                    async with self._lock:
                        await self._apply_commit(item)
                case _:
                    await self._write(item)
        raise SlowReaderError

    async def _apply_commit(self, stored: CommitStored) -> None:
        if stored.sequence <= self._ledger.last_commit:
            return
        commits = [stored]
        if stored.commit.previous != self._ledger.last_commit:
            commits = await self._commits(after=self._ledger.last_commit)
        for commit in commits:
            for frame in self._ledger.apply_commit(commit):
                if isinstance(frame, MessageFrame):
                    last = self._deltas.finish(frame)
                    if last is not None:
                        await self._write(last)
                await self._write(frame)
        self._reset_check()

    async def _write(self, frame: ServerFrame) -> None:
        await self._send(codec.encode(frame))

    async def _commits(self, *, after: int) -> list[CommitStored]:
        return await self._ports.log.commits(self.identity.region, self.conversation, after=after)

    # -- commits whose notification was lost ---

    def _reset_check(self) -> None:
        self._check_delay_s = _MIN_CHECK_DELAY_S
        self._check_at = time.monotonic() + self._check_delay_s

    def is_overdue(self, now: float) -> bool:
        """Return whether an answer has been outstanding for long enough to check the log, by the monotonic clock."""
        return bool(self._ledger.unanswered) and now >= self._check_at

    async def catch_up(self, now: float) -> None:
        """Check the log for commits whose notification was lost, at `now` of the monotonic clock."""
        self._check_delay_s = min(self._check_delay_s * 2, _MAX_CHECK_DELAY_S)
        self._check_at = now + self._check_delay_s
        commits = await self._commits(after=self._ledger.last_commit)
        for stored in commits:
            self.enqueue(stored)
        if not commits:
            # Unanswered, or the message was not delivered: the announcement makes the conversation's owner check.
            await self._ports.presence.announce(self.identity.region, self.attached)
