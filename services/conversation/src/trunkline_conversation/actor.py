"""One conversation at work: its messages are answered one after another, in order, and committed behind the fence."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, assert_never

import structlog
from prometheus_client import Counter, Histogram
from trunkline_chassis.errors import BusError, FenceError
from trunkline_protocols.ids import ConversationId, Instance, turn_id
from trunkline_protocols.log import Commit, CommitStored, TurnAnswered
from trunkline_protocols.turn import (
    AnswerTurn,
    EndRequested,
    FeedbackGiven,
    Routed,
    TaskClaimed,
    TurnReceived,
    TurnResult,
    WaitCancelled,
)

from trunkline_conversation.core.decisions import (
    Append,
    Drop,
    Turn,
    Work,
    assignment,
    begin,
    close,
    give_up,
    on_result,
    refuse_closed,
    retry,
)
from trunkline_conversation.core.state import Conversation, context_of, evolve, from_snapshot, to_snapshot
from trunkline_conversation.ports import InboxItem, Log, Outside

_log: Final = structlog.get_logger(__name__)

_BUCKETS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_TURN: Final = Histogram("trunkline_turn_seconds", "Accepted to committed answer", ["specialty"], buckets=_BUCKETS)
_OVERHEAD: Final = Histogram(
    "trunkline_turn_overhead_seconds", "The same less the model's own time", ["specialty"], buckets=_BUCKETS
)
_TURNS: Final = Counter("trunkline_turns_total", "Turns by what became of them", ["outcome"])

_FAILURES_BEFORE_BURIAL: Final = 3
_LONGEST_WAIT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Envelope(InboxItem):
    """An inbox message with the ways to settle it."""

    done: Callable[[], Awaitable[None]]
    bury: Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing was heard of the agent that claimed the work."""


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """Nobody has taken the work for a while: perhaps the queue was lost."""


@dataclass(frozen=True, slots=True)
class TimeOut:
    """The work took longer than any work may."""


Sign: TypeAlias = TurnResult | Silence | Unclaimed | TimeOut


@dataclass(slots=True)
class Waiting:
    """An order under way, and what was heard of it. Times by the event loop's clock."""

    order: AnswerTurn
    asked_at: float
    published_at: float
    heard_at: float | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """How long to wait for what, in seconds, and how often to snapshot."""

    agent_silence_s: float
    unclaimed_s: float
    turn_timeout_s: float
    snapshot_every: int


class OvertakenError(Exception):
    """The log moved on without this actor: think again from its end."""


class AnsweredElsewhereError(Exception):
    """The log holds an answer to this message already."""


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
        specialties: frozenset[str],
        policy: Policy,
    ) -> None:
        """State is loaded from the log with the first message."""
        self.id = conversation
        self._region = region
        self._instance = instance
        self._log = log
        self._outside = outside
        self._specialties = specialties
        self._policy = policy
        self._state: Conversation | None = None
        self._queue: deque[Envelope] = deque()
        self._signs: asyncio.Queue[Sign] = asyncio.Queue()
        self._waiting: Waiting | None = None
        self._handled = 0
        self._commits_since_snapshot = 0
        self.ingress = Instance("")

    # -- what comes in ---

    def offer(self, envelope: Envelope) -> None:
        """Take a message; one that waits here already (a redelivery) is not taken twice."""
        if all(waiting.sequence != envelope.sequence for waiting in self._queue):
            self._queue.append(envelope)

    def claimed(self, claim: TaskClaimed, now: float) -> None:
        """An agent has taken the work."""
        waiting = self._waiting
        if waiting is not None and (claim.turn, claim.hop, claim.attempt) == (
            waiting.order.turn,
            waiting.order.hop,
            waiting.order.attempt,
        ):
            waiting.heard_at = now

    def beat(self, now: float) -> None:
        """The agent lives and still works on it."""
        if self._waiting is not None and self._waiting.heard_at is not None:
            self._waiting.heard_at = now

    def result(self, result: TurnResult) -> None:
        """An agent's result; results of another turn are late and dropped."""
        if self._waiting is None or result.turn != self._waiting.order.turn:
            _TURNS.labels("late_result").inc()
            _log.info("turn.late_result", turn=result.turn, hop=result.hop, attempt=result.attempt)
            return
        self._signs.put_nowait(result)

    def watch(self, now: float) -> None:
        """Notice silence; called a few times a second."""
        waiting = self._waiting
        if waiting is None or not self._signs.empty():
            return
        if now - waiting.asked_at > self._policy.turn_timeout_s:
            self._signs.put_nowait(TimeOut())
        elif waiting.heard_at is not None and now - waiting.heard_at > self._policy.agent_silence_s:
            self._signs.put_nowait(Silence())
        elif waiting.heard_at is None and now - waiting.published_at > self._policy.unclaimed_s:
            waiting.published_at = now
            self._signs.put_nowait(Unclaimed())

    # -- the work ---

    async def run(self) -> None:
        """Answer what waits, in order, until nothing does."""
        while self._queue:
            envelope = self._queue[0]
            await self._settle(envelope)
            await envelope.done()
            self._queue.popleft()

    async def _settle(self, envelope: Envelope) -> None:
        """Handle one message, whatever it takes."""
        failures = 0
        for tries in itertools.count():
            try:
                await self._handle(envelope)
            except AnsweredElsewhereError:
                return
            except (OvertakenError, BusError) as error:
                _log.warning("turn.again", conversation=self.id, inbox_seq=envelope.sequence, reason=str(error))
                self._state = None
                # For as long as it takes, at growing distance: a later message must not be answered before this one.
                await asyncio.sleep(min(0.05 * 2.0 ** min(tries, 10), _LONGEST_WAIT_S))
            except Exception as error:
                _log.exception("turn.failed", conversation=self.id, inbox_seq=envelope.sequence)
                self._state = None
                failures += 1
                if failures >= _FAILURES_BEFORE_BURIAL:
                    await envelope.bury(repr(error))
                    await self._apologise(envelope)
                    return
            else:
                return
            finally:
                self._waiting = None

    async def _handle(self, item: InboxItem) -> None:
        state = await self._load()
        self._handled = max(self._handled, state.inbox_seq)
        if isinstance(item.message, TurnReceived):
            self.ingress = item.message.ingress
        if item.sequence <= self._handled:
            await self._tell(await self._log.commits(self.id, after=state.sequence - 1))
            return
        if item.message.previous > self._handled:
            # A delivery got lost on its way (a cut connection) and will come again: too late for the order.
            for missed in await self._log.inbox(self.id, after=self._handled, before=item.sequence):
                _log.warning("turn.gap", conversation=self.id, inbox_seq=missed.sequence)
                await self._handle_next(missed)
        await self._handle_next(item)

    async def _handle_next(self, item: InboxItem) -> None:
        state = await self._load()
        match item.message:
            case TurnReceived() as message:
                await self._answer(state, message, item.sequence)
            case EndRequested() as request:
                self.ingress = request.ingress
                if not state.closed:
                    await self._append(state, close(state, request), request, item.sequence)
            case FeedbackGiven() | WaitCancelled():
                # Nothing to decide: the inbox is the record.
                pass
            case _:
                assert_never(item.message)
        self._handled = item.sequence

    async def _apologise(self, item: InboxItem) -> None:
        """Answer a message that cannot be handled: it was accepted."""
        try:
            state = await self._load()
            if isinstance(item.message, TurnReceived):
                turn = begin(state, item.message, turn=turn_id(self.id, item.sequence), inbox_seq=item.sequence)
                await self._append(state, give_up(state, turn), item.message, item.sequence)
        except Exception:
            _log.exception("turn.apology_failed", conversation=self.id, inbox_seq=item.sequence)

    async def _answer(self, state: Conversation, message: TurnReceived, inbox_seq: int) -> None:
        turn = begin(state, message, turn=turn_id(self.id, inbox_seq), inbox_seq=inbox_seq)
        if state.closed:
            await self._append(state, refuse_closed(state, turn), message, inbox_seq)
            return
        while True:
            decision, turn = await self._ask(state, turn)
            if isinstance(decision, Work):
                turn = replace(turn, work=decision)
                continue
            state = await self._append(state, decision, message, inbox_seq)
            if decision.then is None:
                self._measure(message, decision)
                return
            turn = replace(turn, work=decision.then, assigned=None)

    async def _ask(self, state: Conversation, turn: Turn) -> tuple[Work | Append, Turn]:
        """Order the turn's work and wait for a result that decides something."""
        order = self._order(state, turn)
        now = asyncio.get_running_loop().time()
        self._signs = asyncio.Queue()
        self._waiting = Waiting(order, asked_at=now, published_at=now)
        await self._outside.ask(order)
        while True:
            sign = await self._signs.get()
            match sign:
                case Unclaimed():
                    _log.warning("turn.unclaimed", turn=turn.id, specialty=order.specialty)
                    await self._outside.ask(order)
                case Silence():
                    _log.warning("turn.silence", turn=turn.id, specialty=order.specialty, attempt=order.attempt)
                    _TURNS.labels("redispatched").inc()
                    return retry(turn) or give_up(state, turn), turn
                case TimeOut():
                    return give_up(state, turn), turn
                case _:
                    decision = on_result(state, turn, sign, specialties=self._specialties)
                    if isinstance(decision, Drop):
                        _TURNS.labels("late_result").inc()
                        continue
                    if isinstance(sign, Routed) and isinstance(decision, Work):
                        turn = replace(turn, assigned=assignment(sign))
                    return decision, turn

    def _order(self, state: Conversation, turn: Turn) -> AnswerTurn:
        now = self._outside.now()
        work = turn.work
        return AnswerTurn(
            conversation=self.id,
            turn=turn.id,
            attempt=work.attempt,
            hop=work.hop,
            epoch=state.epoch,
            specialty=work.specialty,
            agent=work.agent,
            text=turn.message.text,
            context=context_of(state, turn.message),
            owner=self._instance,
            ingress=self.ingress,
            dispatched_at=now,
            deadline_at=now + self._policy.turn_timeout_s,
            lane=work.lane,
            handed_off_from=work.handed_off_from,
        )

    # -- the log ---

    async def _load(self) -> Conversation:
        if self._state is None:
            snapshot = await self._log.snapshot(self.id)
            state = (
                from_snapshot(snapshot, self._region)
                if snapshot is not None
                else Conversation(id=self.id, region=self._region)
            )
            for stored in await self._log.commits(self.id, after=state.sequence):
                state = evolve(state, stored.commit, stored.sequence)
            self._state = state
        return self._state

    async def _append(
        self, state: Conversation, decision: Append, message: TurnReceived | EndRequested, inbox_seq: int
    ) -> Conversation:
        """Commit a decision and return the state after it."""
        commit = Commit(
            conversation=self.id,
            region=self._region,
            tenant=message.tenant,
            customer=message.customer,
            kind=decision.kind,
            turn=turn_id(self.id, inbox_seq),
            epoch=decision.epoch,
            owner=decision.owner,
            agent=decision.agent,
            inbox_seq=inbox_seq,
            previous=state.sequence,
            at=self._outside.now(),
            events=decision.events,
        )
        try:
            sequence = await self._log.append(commit, message_id=f"{commit.turn}-{decision.kind}-{state.hops}")
        except FenceError:
            await self._settle_conflict(state, inbox_seq)
            raise OvertakenError("somebody else committed") from None
        await self._tell([CommitStored(sequence=sequence, commit=commit)])
        self._state = evolve(state, commit, sequence)
        await self._snapshot_sometimes(self._state)
        return self._state

    async def _settle_conflict(self, state: Conversation, inbox_seq: int) -> None:
        """The log moved on: when it answers this message, its text is shown and not one's own."""
        newer = await self._log.commits(self.id, after=state.sequence)
        await self._tell(newer)
        if any(stored.commit.inbox_seq >= inbox_seq and stored.commit.kind in {"turn", "closed"} for stored in newer):
            self._state = None
            raise AnsweredElsewhereError

    async def _snapshot_sometimes(self, state: Conversation) -> None:
        self._commits_since_snapshot += 1
        if self._commits_since_snapshot >= self._policy.snapshot_every:
            self._commits_since_snapshot = 0
            await self._log.store_snapshot(to_snapshot(state))

    async def _tell(self, commits: list[CommitStored]) -> None:
        if self.ingress:
            for stored in commits:
                await self._outside.tell(self.ingress, stored)

    def _measure(self, message: TurnReceived, decision: Append) -> None:
        answered = decision.events[-1]
        if isinstance(answered, TurnAnswered):
            seconds = self._outside.now() - message.received_at
            _TURN.labels(answered.specialty).observe(seconds)
            _OVERHEAD.labels(answered.specialty).observe(max(0.0, seconds - answered.timings.model_ms / 1000))
            _TURNS.labels("answered" if answered.text else "empty").inc()
