"""One turn from the customer's message to its commit."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, assert_never

import structlog
from prometheus_client import Counter, Histogram
from trunkline_chassis.tracing import span_types as spans
from trunkline_chassis.tracing.tracer import TurnSpan, span
from trunkline_protocols.fleet import TRIAGE
from trunkline_protocols.ids import Instance, TurnRef, turn_id
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import TurnAnswered
from trunkline_protocols.turn import AnswerTurn, Escalate, HandOff, Routed, TurnResult

from trunkline_conversation.application.dispatch import AgentLost, DeadlineExceeded, Dispatch, Unclaimed
from trunkline_conversation.application.queued_work import QueuedWork
from trunkline_conversation.application.repository import CommitCause, ConversationRepository
from trunkline_conversation.core import decisions
from trunkline_conversation.core.erasure import end_erased
from trunkline_conversation.core.state import Conversation, context_of
from trunkline_conversation.core.steps import Append, Drop, Step, SystemReply, Turn, Work
from trunkline_conversation.ports import ConversationPorts, Environments

_log: Final = structlog.get_logger(__name__)

_MIN_CONTEXT_MS: Final = 1.0
"""Shorter waits for facts are not recorded."""
_BUCKETS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_TURN: Final = Histogram(
    "trunkline_turn_seconds", "Time from the accepted message to the committed answer", ["specialty"], buckets=_BUCKETS
)
_OVERHEAD: Final = Histogram(
    "trunkline_turn_overhead_seconds", "Turn time without the time of the models", ["specialty"], buckets=_BUCKETS
)
_TURNS: Final = Counter("trunkline_turns_total", "Turns and dispatches by outcome", ["outcome"])
for _outcome in ("answered", "empty", "failed", "redispatched", "late_result"):
    _TURNS.labels(_outcome)  # from 0, so that a rate counts the first failure too


class TurnProcessor:
    """Answers the messages of one conversation, one at a time."""

    def __init__(
        self,
        repository: ConversationRepository,
        ports: ConversationPorts,
        dispatch: Dispatch,
        *,
        instance: Instance,
        environments: Environments,
    ) -> None:
        """Receive results under the name `instance`; the environment is read once per decision."""
        self._repository = repository
        self._work_queue = ports.work_queue
        self._customers = ports.customers
        self._now = ports.now
        self._dispatch = dispatch
        self._instance = instance
        self._environments = environments

    async def answer(self, state: Conversation, message: TurnReceived, inbox_seq: int) -> None:
        """Run the steps of a turn until its last commit."""
        state = self._environments.with_version(state)
        self._customers.prepare(message, state.fleet_version)
        turn = self._begin(state, message, inbox_seq)
        cause = CommitCause.of_message(message, inbox_seq)
        model_ms = context_ms = 0.0
        with span(spans.DECIDE) as decided:
            step: Step = decisions.first_step(state, turn, self._environments.read(state.fleet_version))
            decided.set(spans.OUTCOME, type(step).__name__)
        while True:
            match step:
                case Work():
                    started_at = self._now()
                    turn = await self._with_customer(state, replace(turn, work=step))
                    context_ms += (self._now() - started_at) * 1000
                    with span(spans.DISPATCH) as dispatched:
                        if dispatched.is_recorded:
                            _describe(dispatched, turn, state.epoch)
                        step, turn = await self._request_work(state, turn)
                        dispatched.set(spans.OUTCOME, type(step).__name__)
                case SystemReply(text=text):
                    step = decisions.system_answer(state, turn, text)
                case Append(then=then):
                    if context_ms >= _MIN_CONTEXT_MS:
                        step = step.with_context_ms(round(context_ms, 3))
                    state = await self._repository.append(state, step, cause)
                    model_ms += step.model_ms
                    if then is None:
                        self._measure(message, step, model_ms)
                        return
                    turn = replace(turn, assigned=None)
                    step = then
                case _:
                    assert_never(step)

    async def apologise(self, message: TurnReceived, inbox_seq: int) -> None:
        """Answer a message that cannot be handled with an apology."""
        state = self._environments.with_version(await self._repository.load())
        turn = self._begin(state, message, inbox_seq)
        apology = decisions.give_up(state, turn)
        await self._repository.append(state, apology, CommitCause.of_message(message, inbox_seq))
        _TURNS.labels("failed").inc()

    async def end_erased(self, message: TurnReceived | None, inbox_seq: int) -> None:
        """Close a conversation whose texts are erased, and answer its open message."""
        state = await self._repository.load()
        decision = end_erased(state, self._begin(state, message, inbox_seq) if message is not None else None)
        if decision is not None:
            cause = CommitCause.of_timer(state) if message is None else CommitCause.of_message(message, inbox_seq)
            await self._repository.append(state, decision, replace(cause, erased=True))

    def on_result(self, result: TurnResult) -> None:
        """Accept a result; one of another turn is stale and dropped."""
        if not self._dispatch.on_result(result):
            self._count_stale(result)

    def _begin(self, state: Conversation, message: TurnReceived, inbox_seq: int) -> Turn:
        turn = turn_id(state.id, inbox_seq)
        specialties = self._environments.read(state.fleet_version).specialties
        begun = decisions.begin(state, message, turn=turn, inbox_seq=inbox_seq, specialties=specialties)
        return replace(begun, customer=self._customers.known(message))

    async def _with_customer(self, state: Conversation, turn: Turn) -> Turn:
        """Return the turn with the known data about the customer, read once, for the first work after triage."""
        if turn.work.specialty == TRIAGE or turn.work.is_claimed or turn.is_customer_read:
            return turn
        known = await self._customers.current(turn.message, is_first=state.turns == 0)
        return replace(turn, customer=known, is_customer_read=True)

    async def _request_work(self, state: Conversation, turn: Turn) -> tuple[Step, Turn]:
        """Have the work of a turn done and wait for a signal that decides the next step."""
        request = self._request(state, turn)
        work = QueuedWork(self._work_queue, request, state.colour, self._environments.queue_of)
        if turn.work.is_claimed:
            self._dispatch.continue_with(request)
        else:
            self._dispatch.start(request)
            await work.enqueue()
        while True:
            signal = await self._dispatch.next_signal()
            match signal:
                case Unclaimed(is_first=is_first):
                    alternative = await self._on_unclaimed(state, turn, work, is_first=is_first)
                    if alternative is not None:
                        return alternative, turn
                case AgentLost():
                    _log.warning(
                        "agent.heartbeat_lost", turn=turn.id, specialty=request.specialty, attempt=request.ref.attempt
                    )
                    _TURNS.labels("redispatched").inc()
                    return decisions.retry(turn) or decisions.give_up(state, turn), turn
                case DeadlineExceeded():
                    return decisions.give_up(state, turn), turn
                case _:
                    with span(spans.DECIDE) as decided:
                        decision = decisions.on_result(
                            state, turn, signal, self._environments.read(state.fleet_version)
                        )
                        decided.set(spans.TURN, turn.id)
                        decided.set(spans.OUTCOME, type(decision).__name__)
                    if isinstance(decision, Drop):
                        self._count_stale(signal)
                        continue
                    if isinstance(signal, Routed | HandOff | Escalate) and signal.analysis is not None:
                        turn = replace(turn, analysis=signal.analysis)
                    if isinstance(signal, Routed) and isinstance(decision, Work):
                        turn = replace(turn, assigned=decisions.assignment(signal))
                    return decision, turn

    async def _on_unclaimed(self, state: Conversation, turn: Turn, work: QueuedWork, *, is_first: bool) -> Step | None:
        """Return the step that replaces work without a claim; None to keep waiting for it."""
        found = await work.state()
        if found in {"taken", "unknown"}:
            # A queue without an answer shows nothing about its agents: it is asked again soon, not after a longer time.
            self._dispatch.expect_claim()
            return None
        _log.warning("turn.unclaimed", turn=turn.id, specialty=turn.work.specialty, is_waiting=found == "queued")
        alternative = (
            None if is_first else decisions.on_unclaimed(state, turn, self._environments.read(state.fleet_version))
        )
        if alternative is None and found == "lost":
            await work.requeue()
        return alternative

    def _request(self, state: Conversation, turn: Turn) -> AnswerTurn:
        now = self._now()
        work = turn.work
        return AnswerTurn(
            ref=TurnRef(conversation=state.id, turn=turn.id, attempt=work.attempt, hop=work.hop, epoch=state.epoch),
            specialty=work.specialty,
            agent=work.agent,
            text=turn.message.text,
            context=context_of(state, turn.message, turn.customer, self._environments.read(state.fleet_version).fleet),
            reply_to=self._instance,
            ingress=self._repository.ingress,
            dispatched_at=now,
            deadline_at=now + self._dispatch.timeouts.turn_timeout_s,
            lane=work.lane,
            urgency=work.urgency,
            due_at=work.due_at,
            analysis=turn.analysis,
            key=turn.message.key or state.key,
            is_waiting=work.is_waiting,
            fleet_version=state.fleet_version,
            may_continue=self._customers.is_complete(turn.message),
        )

    def _count_stale(self, result: TurnResult) -> None:
        ref = result.ref
        _TURNS.labels("late_result").inc()
        _log.info("result.stale", turn=ref.turn, epoch=ref.epoch, hop=ref.hop, attempt=ref.attempt)

    def _measure(self, message: TurnReceived, decision: Append, model_ms: float) -> None:
        answered = decision.events[-1]
        if isinstance(answered, TurnAnswered):
            seconds = max(0.0, self._now() - message.received_at)
            _TURN.labels(answered.specialty).observe(seconds)
            _OVERHEAD.labels(answered.specialty).observe(max(0.0, seconds - model_ms / 1000))
            _TURNS.labels(decisions.outcome(answered)).inc()


def _describe(dispatched: TurnSpan, turn: Turn, epoch: int) -> None:
    work = turn.work
    dispatched.set(spans.TURN, turn.id)
    dispatched.set(spans.SPECIALTY, work.specialty)
    dispatched.set(spans.AGENT, work.agent)
    dispatched.set(spans.ATTEMPT, work.attempt)
    dispatched.set(spans.HOP, work.hop)
    dispatched.set(spans.EPOCH, epoch)
    dispatched.set(spans.LANE, work.lane)
