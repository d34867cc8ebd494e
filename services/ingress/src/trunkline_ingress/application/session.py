"""One conversation on one open socket: takes messages in, gives durable frames their numbers, streams deltas.

Everything that gives a number happens under one lock, in the order in which it is sent. Frames go through a bounded
queue; a reader too slow for it is cut off and can resume.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import structlog
from trunkline_chassis.errors import BusUnavailableError, FenceError
from trunkline_protocols import codec
from trunkline_protocols.frames import (
    AcceptedFrame,
    DurableFrame,
    MessageFrame,
    ServerFrame,
)
from trunkline_protocols.ids import ConversationId, Instance, turn_id
from trunkline_protocols.inbox import EndRequested, FeedbackGiven, InboxMessage, TurnReceived, WaitCancelled
from trunkline_protocols.log import CommitStored
from trunkline_protocols.turn import Delta, SocketAttached

from trunkline_ingress.application.recovery import recover
from trunkline_ingress.core.ledger import Ledger
from trunkline_ingress.core.streaming import Streaming
from trunkline_ingress.core.tokens import Identity
from trunkline_ingress.ports import Line

_log: Final = structlog.get_logger(__name__)

_FIRST_CHECK_S: Final = 2.0
_LONGEST_CHECK_S: Final = 10.0

Outgoing: TypeAlias = ServerFrame | CommitStored | Delta


class LostTrackError(Exception):
    """The conversation's numbers are no longer known here: the client must resume."""


class SlowReaderError(Exception):
    """The client does not read what it is sent."""


class Session:
    """A conversation as one socket sees it."""

    def __init__(
        self,
        identity: Identity,
        *,
        ingress: Instance,
        line: Line,
        send: Callable[[bytes], Awaitable[None]],
        now: Callable[[], float],
        outgoing: int,
    ) -> None:
        """`send` writes one frame to the socket; `outgoing` bounds the frames that wait for it."""
        self.identity = identity
        self._ingress = ingress
        self._line = line
        self._send = send
        self._now = now
        self._ledger = Ledger()
        self._streaming = Streaming()
        self._lock = asyncio.Lock()
        self._outgoing: asyncio.Queue[Outgoing] = asyncio.Queue(outgoing)
        self._check_at = 0.0
        self._check_after_s = _FIRST_CHECK_S
        self.overflowed = asyncio.Event()

    @property
    def conversation(self) -> ConversationId:
        """Whose socket this is."""
        return self.identity.conversation

    @property
    def closed(self) -> bool:
        """Whether the conversation has ended."""
        return self._ledger.closed

    # -- from the customer ---

    async def restore(self, last_seq: int) -> list[DurableFrame] | None:
        """Learn the conversation from its streams; return what was missed, None when `last_seq` is not of this one."""
        region = self.identity.region
        self._ledger, missed = await recover(self._line, region, self.conversation, last_seq=last_seq)
        return missed if last_seq <= self._ledger.high else None

    async def say(self, message_id: str, text: str) -> None:
        """Store a message and answer `accepted`; a repeat is answered as the first was."""
        async with self._lock:
            known = await self._number_of(message_id)
            if known is not None:
                await self._write(AcceptedFrame(id=message_id, seq=known))
                return
            stored = await self._store(
                TurnReceived(
                    conversation=self.conversation,
                    message_id=message_id,
                    text=text,
                    seq=self._ledger.next_seq,
                    previous=self._ledger.last_inbox,
                    customer=self.identity.customer,
                    tenant=self.identity.tenant,
                    region=self.identity.region,
                    channel=self.identity.channel,
                    locale=self.identity.locale,
                    ingress=self._ingress,
                    received_at=self._now(),
                    tier=self.identity.tier,
                ),
                message_id,
            )
            await self._write(self._ledger.accept(message_id, stored))
            self._expect_answer()

    async def _number_of(self, message_id: str) -> int | None:
        """Return the number that a message was accepted with, None for a new one."""
        if self._ledger.is_unsure_of(message_id):
            # Perhaps the repeat of one that was answered long before this socket came.
            self._ledger.learn(await self._line.commits(self.identity.region, self.conversation, after=0))
        return self._ledger.accepted.get(message_id)

    async def end(self) -> None:
        """Ask for the end; `closed` comes when it is committed. What is being written is broken off."""
        async with self._lock:
            request = EndRequested(
                conversation=self.conversation,
                previous=self._ledger.last_inbox,
                customer=self.identity.customer,
                tenant=self.identity.tenant,
                ingress=self._ingress,
                received_at=self._now(),
            )
            self._ledger.last_inbox = await self._store(request, f"end-{self._ledger.last_inbox}")
            for inbox_seq in self._ledger.unanswered.values():
                await self._line.abandon(turn_id(self.conversation, inbox_seq))
            self._expect_answer()

    async def rate(self, rating: int, text: str) -> None:
        """Keep the customer's rating."""
        async with self._lock:
            given = FeedbackGiven(
                conversation=self.conversation,
                previous=self._ledger.last_inbox,
                rating=rating,
                text=text,
                received_at=self._now(),
            )
            self._ledger.last_inbox = await self._store(given, f"feedback-{self._ledger.last_inbox}")

    async def cancel_wait(self) -> None:
        """Leave an escalation queue."""
        async with self._lock:
            cancelled = WaitCancelled(
                conversation=self.conversation,
                previous=self._ledger.last_inbox,
                customer=self.identity.customer,
                tenant=self.identity.tenant,
                ingress=self._ingress,
                received_at=self._now(),
            )
            self._ledger.last_inbox = await self._store(cancelled, f"cancel-{self._ledger.last_inbox}")

    async def _store(self, message: InboxMessage, message_id: str) -> int:
        try:
            stored = await self._line.store(self.identity.region, self.conversation, message, message_id=message_id)
        except (FenceError, BusUnavailableError) as error:
            raise LostTrackError(str(error)) from error
        if stored.duplicate:
            # Stored by another connection whose end we did not see: its number is in the stream.
            raise LostTrackError("the message is stored already")
        return stored.seq

    # -- towards the customer ---

    def offer(self, item: Outgoing) -> None:
        """Put something into the queue of the socket; never waits."""
        try:
            self._outgoing.put_nowait(item)
        except asyncio.QueueFull:
            self.overflowed.set()

    async def run(self) -> None:
        """Write what is offered, until cancelled or the reader is too slow."""
        while not self.overflowed.is_set():
            item = await self._outgoing.get()
            match item:
                case Delta():
                    frame = self._streaming.delta(item)
                    if frame is not None:
                        await self._write(frame)
                case CommitStored():
                    async with self._lock:
                        await self._commit(item)
                case _:
                    await self._write(item)
        raise SlowReaderError

    async def _commit(self, stored: CommitStored) -> None:
        if stored.sequence <= self._ledger.last_commit:
            return
        news = [stored]
        if stored.commit.previous != self._ledger.last_commit:
            news = await self._line.commits(self.identity.region, self.conversation, after=self._ledger.last_commit)
        for commit in news:
            for frame in self._ledger.commit(commit):
                if isinstance(frame, MessageFrame):
                    correction = self._streaming.final(frame)
                    if correction is not None:
                        await self._write(correction)
                await self._write(frame)
        self._expect_answer()

    async def _write(self, frame: ServerFrame) -> None:
        await self._send(codec.encode(frame))

    # -- a commit that was told but not heard ---

    def _expect_answer(self) -> None:
        self._check_after_s = _FIRST_CHECK_S
        self._check_at = self._now() + self._check_after_s

    def due(self, now: float) -> bool:
        """Whether an answer is awaited for so long that the log should be looked at."""
        return bool(self._ledger.unanswered) and now >= self._check_at

    async def catch_up(self, now: float) -> None:
        """Look whether the log holds commits that were not heard of."""
        self._check_after_s = min(self._check_after_s * 2, _LONGEST_CHECK_S)
        self._check_at = now + self._check_after_s
        last_commit = self._ledger.last_commit
        commits = await self._line.commits(self.identity.region, self.conversation, after=last_commit)
        for stored in commits:
            self.offer(stored)
        if not commits:
            # Not answered yet, or never delivered: who holds the conversation looks.
            attached = SocketAttached(conversation=self.conversation, ingress=self._ingress)
            await self._line.announce(self.identity.region, attached)
