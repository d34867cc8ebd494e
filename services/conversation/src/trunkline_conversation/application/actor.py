"""One conversation at work: its messages are answered one after another, in order, and committed behind the fence.

Two chains of messages arrive, each in order and without a gap of its own: what the customer says, and what people at
the desk order. Beside them the clock: an escalation whose time has run out.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, assert_never

import structlog
from prometheus_client import Counter, Histogram
from trunkline_chassis.errors import BusError
from trunkline_protocols.desk import Claim, Close, DeskMessage, DeskOutcome, HandBack, Reply
from trunkline_protocols.ids import ConversationId, Instance, TurnRef, turn_id
from trunkline_protocols.inbox import EndRequested, FeedbackGiven, TurnReceived, WaitCancelled
from trunkline_protocols.log import TurnAnswered
from trunkline_protocols.turn import AnswerTurn, Routed, TaskClaimed, TurnResult

from trunkline_conversation.application.dispatch import AgentLost, DeadlineExceeded, Dispatch, TurnTimeouts, Unclaimed
from trunkline_conversation.application.repository import (
    AnsweredElsewhereError,
    CommitCause,
    ConversationRepository,
    OvertakenError,
)
from trunkline_conversation.core import desk
from trunkline_conversation.core.decisions import (
    assignment,
    begin,
    close,
    first_step,
    give_up,
    on_result,
    on_unclaimed,
    retry,
    system_answer,
)
from trunkline_conversation.core.escalations import breach, leave_queue
from trunkline_conversation.core.state import Conversation, context_of
from trunkline_conversation.core.steps import Append, Drop, Environment, Step, SystemReply, Turn, Work
from trunkline_conversation.ports import InboxItem, Log, Outside

_log: Final = structlog.get_logger(__name__)

_BUCKETS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_TURN: Final = Histogram("trunkline_turn_seconds", "Accepted to committed answer", ["specialty"], buckets=_BUCKETS)
_OVERHEAD: Final = Histogram(
    "trunkline_turn_overhead_seconds", "The same less the model's own time", ["specialty"], buckets=_BUCKETS
)
_TURNS: Final = Counter("trunkline_turns_total", "Turns by what became of them", ["outcome"])
_BREACHES: Final = Counter("trunkline_escalation_breaches_total", "Escalations whose time ran out", ["urgency"])

_FAILURES_BEFORE_BURIAL: Final = 3
_LONGEST_WAIT_S: Final = 5.0
_BASE_BYTES: Final = 5_600
_UTTERANCE_BYTES: Final = 250
"""What an actor and an utterance take beside their texts, as resident memory has shown."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """The clock of an escalation has run out."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Something to handle, with the ways to settle it; `sequence` is that in the inbox, 0 for what the clock says."""

    sequence: int
    message: InboxItem | Overdue
    done: Callable[[], Awaitable[None]]
    dead_letter: Callable[[str], Awaitable[None]]


class ConversationActor:
    """Answers one conversation's messages."""

    def __init__(
        self,
        conversation: ConversationId,
        *,
        region: str,
        instance: Instance,
        log: Log,
        outside: Outside,
        environment: Callable[[], Environment],
        patience: TurnTimeouts,
        snapshot_every: int,
    ) -> None:
        """State is loaded from the log with the first message; `environment` is what decisions depend on beside it."""
        self.id = conversation
        self._region = region
        self._instance = instance
        self._log = log
        self._outside = outside
        self._environment = environment
        self._patience = patience
        self._journal = ConversationRepository(
            conversation, region=region, log=log, outside=outside, snapshot_every=snapshot_every
        )
        self._asking = Dispatch(patience)
        self._queue: deque[Envelope] = deque()
        self._handled = 0
        self._orders_handled = 0

    @property
    def footprint_bytes(self) -> int:
        """About how much memory it holds."""
        state = self._journal.folded
        if state is None:
            return _BASE_BYTES
        texts = (state.summary, state.note, *(said.text for said in state.transcript))
        return _BASE_BYTES + len(state.transcript) * _UTTERANCE_BYTES + sum(map(sys.getsizeof, texts))

    # -- what comes in ---

    def offer(self, envelope: Envelope) -> None:
        """Take a message; one that waits here already (a redelivery) is not taken twice."""
        if all(waiting.sequence != envelope.sequence for waiting in self._queue):
            self._queue.append(envelope)

    def release(self) -> None:
        """Finish only what is under way: what waits behind it is delivered to another process."""
        while len(self._queue) > 1:
            self._queue.pop()

    def claimed(self, claim: TaskClaimed, now: float) -> None:
        """An agent has taken the work."""
        self._asking.claimed(claim, now)

    def beat(self, now: float) -> None:
        """The agent lives and still works on it."""
        self._asking.beat(now)

    def result(self, result: TurnResult) -> None:
        """An agent's result; results of another turn are late and dropped."""
        if not self._asking.result(result):
            self._late(result)

    def watch(self, now: float) -> None:
        """Notice silence; called a few times a second."""
        self._asking.watch(now)

    def attached(self, ingress: Instance) -> None:
        """Another ingress holds the socket now."""
        self._journal.ingress = ingress

    # -- the work ---

    async def run(self) -> None:
        """Answer what waits, in order, until nothing does."""
        while self._queue:
            envelope = self._queue[0]
            await self._process_with_retries(envelope)
            await envelope.done()
            self._queue.popleft()

    async def _process_with_retries(self, envelope: Envelope) -> None:
        """Handle one message, whatever it takes."""
        failures = 0
        for attempts in itertools.count():
            try:
                await self._dispatch(envelope.message)
            except AnsweredElsewhereError:
                return
            except (OvertakenError, BusError) as error:
                _log.warning("turn.again", conversation=self.id, inbox_seq=envelope.sequence, reason=str(error))
                self._journal.forget()
                # For as long as it takes, at growing distance: a later message must not be answered before this one.
                await asyncio.sleep(min(0.05 * 2.0 ** min(attempts, 10), _LONGEST_WAIT_S))
            except Exception as error:
                _log.exception("turn.failed", conversation=self.id, inbox_seq=envelope.sequence)
                self._journal.forget()
                failures += 1
                if failures >= _FAILURES_BEFORE_BURIAL:
                    await envelope.dead_letter(repr(error))
                    await self._apologise(envelope.message)
                    return
            else:
                return
            finally:
                self._asking.stop()

    async def _dispatch(self, item: InboxItem | Overdue) -> None:
        if isinstance(item, Overdue):
            await self._raise_urgency()
        elif isinstance(item.message, DeskMessage):
            await self._process_command(item.message, item.sequence)
        else:
            await self._process_in_order(item)

    async def _apologise(self, item: InboxItem | Overdue) -> None:
        """Answer a message that cannot be handled: it was accepted."""
        if isinstance(item, Overdue) or not isinstance(item.message, TurnReceived):
            return
        try:
            state = await self._journal.load()
            turn = self._begin(state, item.message, item.sequence)
            await self._journal.append(state, give_up(state, turn), CommitCause.of_message(item.message, item.sequence))
        except Exception:
            _log.exception("turn.apology_failed", conversation=self.id, inbox_seq=item.sequence)

    # -- what the customer says ---

    async def _process_in_order(self, item: InboxItem) -> None:
        state = await self._journal.load()
        self._handled = max(self._handled, state.inbox_seq)
        message = item.message
        if isinstance(message, TurnReceived):
            self._journal.ingress = message.ingress
        if item.sequence <= self._handled:
            await self._journal.republish_last(state)
            if state.escalation is not None:
                await self._journal.publish_to_desk()
            return
        if message.previous > self._handled:
            # A delivery got lost on its way (a cut connection) and will come again: too late for the order.
            for missed in await self._log.inbox(self.id, after=self._handled, before=item.sequence):
                _log.warning("turn.gap", conversation=self.id, inbox_seq=missed.sequence)
                await self._process_message(missed)
        await self._process_message(item)

    async def _process_message(self, item: InboxItem) -> None:
        state = await self._journal.load()
        match item.message:
            case TurnReceived() as message:
                await self._answer(state, message, item.sequence)
            case EndRequested() as request:
                self._journal.ingress = request.ingress
                if not state.closed:
                    cause = CommitCause.of_message(request, item.sequence)
                    await self._journal.append(state, close(state, request), cause)
            case WaitCancelled() as request:
                self._journal.ingress = request.ingress
                decision = leave_queue(state)
                if decision is not None:
                    await self._journal.append(state, decision, CommitCause.of_message(request, item.sequence))
                else:
                    await self._journal.publish_to_desk()
            case FeedbackGiven():
                # Nothing to decide: the inbox is the record.
                pass
            case Claim() | Reply() | HandBack() | Close():
                await self._process_command(item.message, item.sequence)
            case _:
                assert_never(item.message)
        self._handled = item.sequence

    def _begin(self, state: Conversation, message: TurnReceived, inbox_seq: int) -> Turn:
        turn = turn_id(self.id, inbox_seq)
        return begin(state, message, turn=turn, inbox_seq=inbox_seq, specialties=self._environment().specialties)

    async def _answer(self, state: Conversation, message: TurnReceived, inbox_seq: int) -> None:
        turn = self._begin(state, message, inbox_seq)
        cause = CommitCause.of_message(message, inbox_seq)
        model_ms = 0.0
        step: Step = first_step(state, turn, self._environment())
        while True:
            match step:
                case Work():
                    turn = replace(turn, work=step)
                    step, turn = await self._ask(state, turn)
                case SystemReply(text=text):
                    step = system_answer(state, turn, text)
                case Append(then=then):
                    state = await self._journal.append(state, step, cause)
                    model_ms += step.model_ms
                    if then is None:
                        self._measure(message, step, model_ms)
                        return
                    turn = replace(turn, assigned=None)
                    step = then
                case _:
                    assert_never(step)

    async def _ask(self, state: Conversation, turn: Turn) -> tuple[Step, Turn]:
        """Order the turn's work and wait for a sign that decides something."""
        order = self._order(state, turn)
        self._asking.begin(order)
        place = await self._outside.ask(order)
        while True:
            sign = await self._asking.sign()
            match sign:
                case Unclaimed():
                    _log.warning("turn.unclaimed", turn=turn.id, specialty=order.specialty)
                    elsewhere = on_unclaimed(state, turn, self._environment())
                    if elsewhere is not None:
                        return elsewhere, turn
                    place = await self._outside.requeue(order, place)
                case AgentLost():
                    _log.warning("turn.silence", turn=turn.id, specialty=order.specialty, attempt=order.ref.attempt)
                    _TURNS.labels("redispatched").inc()
                    return retry(turn) or give_up(state, turn), turn
                case DeadlineExceeded():
                    return give_up(state, turn), turn
                case _:
                    decision = on_result(state, turn, sign, self._environment())
                    if isinstance(decision, Drop):
                        self._late(sign)
                        continue
                    if isinstance(sign, Routed) and isinstance(decision, Work):
                        turn = replace(turn, assigned=assignment(sign))
                    return decision, turn

    def _order(self, state: Conversation, turn: Turn) -> AnswerTurn:
        now = self._outside.now()
        work = turn.work
        return AnswerTurn(
            ref=TurnRef(conversation=self.id, turn=turn.id, attempt=work.attempt, hop=work.hop, epoch=state.epoch),
            specialty=work.specialty,
            agent=work.agent,
            text=turn.message.text,
            context=context_of(state, turn.message),
            reply_to=self._instance,
            ingress=self._journal.ingress,
            dispatched_at=now,
            deadline_at=now + self._patience.turn_timeout_s,
            lane=work.lane,
            handed_off_from=work.handed_off_from,
            urgency=work.urgency,
            due_at=work.due_at,
        )

    def _late(self, result: TurnResult) -> None:
        _TURNS.labels("late_result").inc()
        _log.info(
            "turn.late_result",
            turn=result.ref.turn,
            epoch=result.ref.epoch,
            hop=result.ref.hop,
            attempt=result.ref.attempt,
        )

    def _measure(self, message: TurnReceived, decision: Append, model_ms: float) -> None:
        answered = decision.events[-1]
        if isinstance(answered, TurnAnswered):
            seconds = self._outside.now() - message.received_at
            _TURN.labels(answered.specialty).observe(seconds)
            _OVERHEAD.labels(answered.specialty).observe(max(0.0, seconds - model_ms / 1000))
            _TURNS.labels("answered" if answered.text else "empty").inc()

    # -- what the desk orders, and what the clock says ---

    async def _process_command(self, order: DeskMessage, sequence: int) -> None:
        state = await self._journal.load()
        self._orders_handled = max(self._orders_handled, state.desk_seq)
        if sequence <= self._orders_handled:
            await self._journal.publish_to_desk()
            await self._outside.answer_desk(order.reply_to, DeskOutcome(done=True))
            return
        if order.previous > self._orders_handled:
            for missed in await self._log.desk(self.id, after=self._orders_handled, before=sequence):
                if isinstance(missed.message, DeskMessage):
                    await self._apply_command(missed.message, missed.sequence)
        await self._apply_command(order, sequence)

    async def _apply_command(self, order: DeskMessage, sequence: int) -> None:
        state = await self._journal.load()
        outcome = DeskOutcome(done=True)
        match desk.decide(state, order, self._environment()):
            case Append() as decision:
                await self._journal.append(state, decision, CommitCause.of_order(state, sequence))
            case desk.Rejected(reason=reason):
                outcome = DeskOutcome(done=False, reason=reason)
            case desk.AlreadyApplied():
                pass
        self._orders_handled = sequence
        await self._outside.answer_desk(order.reply_to, outcome)

    async def _raise_urgency(self) -> None:
        state = await self._journal.load()
        environment = self._environment()
        decision = breach(state, environment)
        if decision is None:
            # The desk shows something older than the log.
            await self._journal.publish_to_desk()
            return
        state = await self._journal.append(state, decision, CommitCause.of_clock(state))
        if state.escalation is not None:
            _BREACHES.labels(state.escalation.urgency).inc()
            _log.warning("escalation.breached", conversation=self.id, urgency=state.escalation.urgency)
