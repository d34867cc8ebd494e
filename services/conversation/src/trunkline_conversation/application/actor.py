"""Actor of one conversation: processes its messages one after another, in order, and commits behind the fence.

Two chains of messages arrive, each with its own order and gap detection: the customer's messages and the commands of
the desk. In addition, timers report an escalation whose SLA has expired, and a change of its customer's socket.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, assert_never

import structlog
from trunkline_chassis.errors import BusError, MessageTooLargeError, TextsErasedError
from trunkline_chassis.logs import reason_of
from trunkline_chassis.tracing import span_types as spans
from trunkline_chassis.tracing.tracer import continue_trace
from trunkline_protocols.desk import AddNote, Claim, Close, DeskMessage, HandBack, Reply
from trunkline_protocols.ids import ConversationId, Instance, TurnRef, turn_id
from trunkline_protocols.inbox import EndRequested, FeedbackGiven, TurnReceived, WaitCancelled
from trunkline_protocols.rules.sockets import is_late
from trunkline_protocols.turn import SocketAttached, TurnResult

from trunkline_conversation.application.desk_processor import DeskProcessor
from trunkline_conversation.application.dispatch import Dispatch, TurnTimeouts
from trunkline_conversation.application.repository import (
    AnsweredElsewhereError,
    CommitCause,
    ConversationRepository,
    OvertakenError,
)
from trunkline_conversation.application.turn_processor import TurnProcessor
from trunkline_conversation.core.decisions import close
from trunkline_conversation.core.escalations import leave_queue
from trunkline_conversation.ports import ConversationPorts, Environments, InboxItem

_log: Final = structlog.get_logger(__name__)

_FIRST_ACCEPTED_SEQ: Final = 2
"""Frame number of the first `accepted`, behind `started`."""
_MAX_FAILURES: Final = 3
"""Unexpected errors after which a message is dead-lettered."""
_FIRST_RETRY_S: Final = 0.05
_MAX_RETRY_S: Final = 5.0
_BASE_BYTES: Final = 5_600
_UTTERANCE_BYTES: Final = 250
"""Resident memory of an actor and of an utterance without their texts, as measured."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """The SLA of the conversation's escalation has expired."""


@dataclass(frozen=True, slots=True)
class SocketChanged:
    """The socket of the escalation's customer is gone since a time, or attached again if it is 0."""

    gone_since: float


@dataclass(frozen=True, slots=True)
class Erased:
    """The key of the conversation's texts is destroyed."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message with the callbacks that settle it; `sequence` is that in the inbox, 0 for a timer."""

    sequence: int
    message: InboxItem | Overdue | SocketChanged | Erased
    done: Callable[[], Awaitable[None]]
    dead_letter: Callable[[str], Awaitable[None]]


def erased() -> Envelope:
    """Return the envelope of an erasure, which has no delivery to settle."""
    return Envelope(0, Erased(), done=_no_settlement, dead_letter=_log_dead_letter)


async def _no_settlement() -> None:
    pass


async def _log_dead_letter(reason: str) -> None:
    """Report a conversation that could not be closed: it closes with its next message."""
    _log.error("erasure.failed", reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorConfig:
    """Configuration that all actors of a process share."""

    region: str
    instance: Instance
    """Name under which this process receives results."""
    timeouts: TurnTimeouts
    snapshot_every: int


class ConversationActor:
    """Processes the messages of one conversation."""

    def __init__(
        self,
        conversation: ConversationId,
        config: ActorConfig,
        ports: ConversationPorts,
        environments: Environments,
    ) -> None:
        """Load the state from the log with the first message; read the environment once per decision."""
        self.id = conversation
        self._log = ports.log
        self._customers = ports.customers
        self._borders = ports.borders
        self._repository = ConversationRepository(
            conversation, region=config.region, ports=ports, snapshot_every=config.snapshot_every
        )
        self._dispatch = Dispatch(config.timeouts)
        self._turns = TurnProcessor(
            self._repository, ports, self._dispatch, instance=config.instance, environments=environments
        )
        self._desk = DeskProcessor(self._repository, ports, environments=environments)
        self._queue: deque[Envelope] = deque()
        self._processed_seq = 0
        self._attached_at = 0.0

    @property
    def footprint_bytes(self) -> int:
        """Estimated memory of this actor, in bytes."""
        state = self._repository.cached_state
        if state is None:
            return _BASE_BYTES
        texts = (state.summary, state.note, *(utterance.text for utterance in state.transcript))
        return _BASE_BYTES + len(state.transcript) * _UTTERANCE_BYTES + sum(map(sys.getsizeof, texts))

    @property
    def text_key(self) -> str:
        """Id of the key of the texts in memory; empty if there are none, or they are stored in clear."""
        state = self._repository.cached_state
        return state.key if state is not None else ""

    # -- inputs ---

    def offer(self, envelope: Envelope) -> None:
        """Queue a message, unless it is a redelivery of one that is queued already."""
        if all(queued.sequence != envelope.sequence for queued in self._queue):
            self._queue.append(envelope)

    def release(self) -> None:
        """Keep only the in-flight message: the ones queued behind it are redelivered to another process."""
        while len(self._queue) > 1:
            self._queue.pop()

    def on_claimed(self, claimed: TurnRef, now: float) -> None:
        """Handle an agent's claim of the dispatched work."""
        self._dispatch.on_claimed(claimed, now)

    def on_heartbeat(self, now: float) -> None:
        """Handle a heartbeat of the agent that works on the turn."""
        self._dispatch.on_heartbeat(now)

    def on_result(self, result: TurnResult) -> None:
        """Handle an agent's result."""
        self._turns.on_result(result)

    def check_timeouts(self, now: float) -> None:
        """Check the timeouts of the dispatched work; called periodically."""
        self._dispatch.check_timeouts(now)

    def on_socket_attached(self, attached: SocketAttached) -> None:
        """Send later commits to the ingress that holds the socket now; ignore a late announcement of an older one."""
        if is_late(attached, self._attached_at):
            return
        self._attached_at = attached.attached_at
        self._repository.ingress = attached.ingress

    # -- processing ---

    async def run(self) -> None:
        """Process the queued messages in order until the queue is empty."""
        while self._queue:
            envelope = self._queue[0]
            await self._process_with_retries(envelope)
            await envelope.done()
            self._queue.popleft()

    async def _process_with_retries(self, envelope: Envelope) -> None:
        """Process one message until it is committed, or dead-lettered: too large, or after repeated errors."""
        failures = 0
        for attempts in itertools.count():
            try:
                await self._process(envelope.message)
            except AnsweredElsewhereError:
                return
            except MessageTooLargeError as error:
                _log.warning("turn.too_large", conversation=self.id, inbox_seq=envelope.sequence, reason=str(error))
                self._repository.invalidate()
                await self._reject(envelope, str(error))
                return
            except (OvertakenError, BusError) as error:
                _log.warning("turn.retry", conversation=self.id, inbox_seq=envelope.sequence, reason=str(error))
                self._repository.invalidate()
                # Retried without limit: a later message must not be answered before this one.
                await asyncio.sleep(min(_FIRST_RETRY_S * 2.0 ** min(attempts, 10), _MAX_RETRY_S))
            except Exception as error:  # a poison message must not block the conversation: dead-letter it
                _log.exception("turn.failed", conversation=self.id, inbox_seq=envelope.sequence)
                self._repository.invalidate()
                failures += 1
                if failures >= _MAX_FAILURES:
                    await self._reject(envelope, reason_of(error))
                    return
            else:
                return
            finally:
                self._dispatch.stop()

    async def _process(self, item: InboxItem | Overdue | SocketChanged | Erased) -> None:
        """Process one message; if the texts of the conversation are erased, end it."""
        if isinstance(item, Erased):
            # The state in memory still has the texts.
            self._repository.invalidate()
        state = await self._repository.load(is_first_message=_is_first_message(item))
        is_erased = await self._log.is_erased(state.key)
        if not is_erased:
            try:
                await self._process_readable(item)
            except TextsErasedError:  # meanwhile
                is_erased = True
        if is_erased:
            await self._end_erased(item)

    async def _process_readable(self, item: InboxItem | Overdue | SocketChanged | Erased) -> None:
        match item:
            case Overdue():
                await self._desk.raise_overdue()
            case SocketChanged():
                await self._repository.update_escalation_queue(gone_since=item.gone_since)
            case Erased():
                # The conversation has no text, or it has ended.
                pass
            case InboxItem():
                readable = await self._log.readable(item)
                if isinstance(readable.message, DeskMessage):
                    await self._desk.process(readable.message, readable.sequence)
                else:
                    await self._process_in_order(readable)
            case _:
                assert_never(item)

    async def _end_erased(self, item: InboxItem | Overdue | SocketChanged | Erased) -> None:
        """Close the conversation, and answer the customer's message if it is not settled."""
        self._repository.invalidate()
        state = await self._repository.load()
        message = item.message if isinstance(item, InboxItem) else None
        if isinstance(message, DeskMessage) and isinstance(item, InboxItem):
            await self._desk.refuse_erased(message)
        if isinstance(message, TurnReceived) and isinstance(item, InboxItem) and item.sequence > state.inbox_seq:
            self._repository.ingress = message.ingress
            await self._turns.end_erased(message, item.sequence)
            return
        await self._turns.end_erased(None, 0)
        await self._repository.update_escalation_queue()

    async def _reject(self, envelope: Envelope, reason: str) -> None:
        await envelope.dead_letter(reason)
        await self._apologise(envelope.message)

    async def _apologise(self, item: InboxItem | Overdue | SocketChanged | Erased) -> None:
        """Answer a dead-lettered message of the customer: it was accepted."""
        if not isinstance(item, InboxItem) or not isinstance(item.message, TurnReceived):
            return
        try:
            readable = (await self._log.readable(item)).message
            if isinstance(readable, TurnReceived):
                await self._turns.apologise(readable, item.sequence)
        except Exception:  # the message is dead-lettered already: later messages must go on
            _log.exception("turn.apology_failed", conversation=self.id, inbox_seq=item.sequence)

    async def _process_in_order(self, item: InboxItem) -> None:
        """Process a customer's message after those that were lost before it; repeat the answer to a redelivery."""
        state = await self._repository.load()
        self._processed_seq = max(self._processed_seq, state.inbox_seq)
        message = item.message
        if isinstance(message, TurnReceived):
            self._repository.ingress = message.ingress
        if item.sequence <= self._processed_seq:
            await self._repository.republish_last(state)
            if state.escalation is not None:
                await self._repository.update_escalation_queue()
            return
        if message.previous > self._processed_seq:
            # A delivery was lost with a connection; its redelivery would come too late for the order.
            for missed in await self._log.customer_messages(self.id, after=self._processed_seq, before=item.sequence):
                _log.warning("inbox.gap_detected", conversation=self.id, inbox_seq=missed.sequence)
                await self._process_message(missed)
        await self._process_message(item)

    def _admits(self, message: TurnReceived, sequence: int) -> bool:
        return self._borders.admits(
            "conversation",
            data=message.region,
            conversation=self.id,
            customer=(message.tenant, message.customer),
            record_id=f"conversation-{self.id}-{sequence}",
        )

    async def _process_message(self, item: InboxItem) -> None:
        state = await self._repository.load()
        match item.message:
            case TurnReceived() as message if not self._admits(message, item.sequence):
                # No ingress of this region has accepted it: nothing is committed, and no agent gets it.
                pass
            case TurnReceived() as message:
                with continue_trace(spans.PROCESS_TURN, item.traceparent) as trace:
                    if trace.is_recorded:
                        trace.set(spans.CONVERSATION, self.id)
                        trace.set(spans.TURN, turn_id(self.id, item.sequence))
                        trace.set(spans.INBOX_SEQ, item.sequence)
                    await self._turns.answer(state, message, item.sequence)
            case EndRequested() as request:
                self._repository.ingress = request.ingress
                if not state.closed:
                    cause = CommitCause.of_message(request, item.sequence)
                    await self._repository.append(state, close(state, request), cause)
                    self._customers.keep_earlier(
                        request, state.transcript, text_key=state.key, fleet_version=state.fleet_version
                    )
            case WaitCancelled() as request:
                self._repository.ingress = request.ingress
                decision = leave_queue(state)
                if decision is not None:
                    await self._repository.append(state, decision, CommitCause.of_message(request, item.sequence))
                else:
                    await self._repository.update_escalation_queue()
            case FeedbackGiven():
                # No decision to make: the inbox is the record.
                pass
            case Claim() | Reply() | HandBack() | AddNote() | Close():
                await self._desk.process(item.message, item.sequence)
            case _:
                assert_never(item.message)
        self._processed_seq = item.sequence


def _is_first_message(item: InboxItem | Overdue | SocketChanged | Erased) -> bool:
    """Return whether a message is the customer's first one, also if it is delivered again.

    After a week the inbox has forgotten the messages of a conversation, but its frames go on.
    """
    if not isinstance(item, InboxItem) or not isinstance(item.message, TurnReceived):
        return False
    return not item.message.previous and item.message.seq <= _FIRST_ACCEPTED_SEQ
