"""Message handlers of the agents.

work.<specialty>.<lane>            AnswerTurn        -> `WorkHandler.handle` -> `TurnWorker.process`
work.<specialty>.high              Consult           -> `WorkHandler.handle` -> `Advisor.advise`
consult.<specialty>.cancelled      ConsultCancelled  -> `on_consult_cancelled`
advice.<instance>                  ConsultReply      -> `on_advice`
customer.<region>.read             ReadCustomer      -> `CustomerReader.read`
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final, assert_never

import msgspec
import structlog
from nats.aio.msg import Msg
from trunkline_chassis.clock import steady_time
from trunkline_chassis.delivery import Delivery, Done, Outcome, Reject
from trunkline_chassis.latency import RecentLatency
from trunkline_chassis.tracing import span_types as spans
from trunkline_chassis.tracing.tracer import TurnSpan, continue_trace, span
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec
from trunkline_protocols.consultation import Consult
from trunkline_protocols.turn import AnswerTurn, Routed, TurnFailed, TurnResult

from trunkline_agents.application.advisor import Advisor
from trunkline_agents.application.consultation_client import ConsultationClient
from trunkline_agents.application.priority_semaphore import PrioritySemaphore
from trunkline_agents.application.routing import CurrentRouting
from trunkline_agents.application.stopwatch import Stopwatch
from trunkline_agents.application.turn_task import TurnTask
from trunkline_agents.application.turn_worker import TurnWorker
from trunkline_agents.application.work_admission import WorkAdmission
from trunkline_agents.application.work_heartbeat import WorkHeartbeat
from trunkline_agents.core.next_hop import next_hop
from trunkline_agents.ports import ResultSink

_log: Final = structlog.get_logger(__name__)


class WorkHandler:
    """Handles the work queues of the specialties of this process."""

    def __init__(
        self,
        *,
        sink: ResultSink,
        worker: TurnWorker,
        advisor: Advisor,
        routing: CurrentRouting,
        heartbeat: WorkHeartbeat,
        concurrency: int,
        latency: RecentLatency,
        admission: WorkAdmission,
    ) -> None:
        """`concurrency` bounds the turns of each specialty that `worker` processes concurrently."""
        self._sink = sink
        self._worker = worker
        self._advisor = advisor
        self._routing = routing
        self._heartbeat = heartbeat
        self._semaphores: defaultdict[str, PrioritySemaphore] = defaultdict(lambda: PrioritySemaphore(concurrency))
        self._latency = latency
        self._admission = admission

    @property
    def waiting(self) -> int:
        """Number of turns that wait for one of their specialty to end."""
        return sum(semaphore.waiting for semaphore in self._semaphores.values())

    @property
    def oldest_wait_s(self) -> float:
        """Time for which the oldest of them has waited, in seconds."""
        return max((semaphore.oldest_wait_s for semaphore in self._semaphores.values()), default=0.0)

    async def handle(self, delivery: Delivery) -> Outcome:
        """Handle one delivery. The queue acknowledges on delivery; the requester detects a lost turn by its timeout."""
        try:
            message = codec.work.decode(delivery.payload)
        except codec.DecodeError as error:
            return Reject(str(error))
        with continue_trace(spans.PROCESS_WORK, delivery.traceparent) as work:
            work.set(spans.TURN, message.ref.turn)
            match await self._admission.admit(message, stored_at=delivery.stored_at):
                case None:
                    pass
                case AnswerTurn() as request:
                    await self._answer(request)
                case Consult() as consult:
                    await self._advisor.advise(consult)
                case _ as unknown:
                    assert_never(unknown)
        return Done()

    async def _answer(self, request: AnswerTurn) -> None:
        now = steady_time()
        if now > request.deadline_at:
            _log.warning("turn.expired", turn=request.ref.turn)
            return
        result = await self._process(request)
        if (
            isinstance(result, Routed)
            and request.may_continue
            and self._routing.serves(result.to, request.fleet_version)
        ):
            # The requester need not queue the next hop for this process.
            await self._sink.report(request.reply_to, msgspec.structs.replace(result, continued=True))
            request = next_hop(request, result, dispatched_at=steady_time())
            result = await self._process(request)
        await self._sink.report(request.reply_to, result)
        duration_ms = (steady_time() - now) * 1000
        self._latency.add(duration_ms)
        _log.info(
            "turn.processed",
            turn=request.ref.turn,
            attempt=request.ref.attempt,
            outcome=result.__struct_config__.tag,
            duration_ms=round(duration_ms, 1),
        )

    async def _process(self, request: AnswerTurn) -> TurnResult:
        # Before a permit is acquired: from here on, this process is responsible for the turn.
        with self._heartbeat.working_on(request), span(spans.INVOKE_AGENT) as invoked:
            async with self._semaphores[request.specialty].permit(request):
                clock = Stopwatch(queued_ms=(steady_time() - request.dispatched_at) * 1000)
                result = await self._worker.process(TurnTask(request, self._routing.of(request.fleet_version), clock))
            if invoked.is_recorded:
                _describe(invoked, request, result, clock.queued_ms)
            return result


def _describe(invoked: TurnSpan, request: AnswerTurn, result: TurnResult, queued_ms: float) -> None:
    invoked.set(spans.CONVERSATION, request.ref.conversation)
    invoked.set(spans.TURN, request.ref.turn)
    invoked.set(spans.SPECIALTY, request.specialty)
    invoked.set(spans.AGENT, request.agent)
    invoked.set(spans.ATTEMPT, request.ref.attempt)
    invoked.set(spans.HOP, request.ref.hop)
    invoked.set(spans.EPOCH, request.ref.epoch)
    invoked.set(spans.QUEUED_MS, queued_ms)
    outcome = str(result.__struct_config__.tag)
    invoked.set(spans.OUTCOME, outcome)
    if isinstance(result, TurnFailed):
        invoked.fail(outcome)


def on_consult_cancelled(advisor: Advisor, message: Msg) -> None:
    """Stop a cancelled consultation."""
    try:
        advisor.cancel(codec.consult_cancelled.decode(message.data))
    except codec.DecodeError as error:
        report_undecodable("consult_cancelled", message.subject, error)


def on_advice(consultations: ConsultationClient, message: Msg) -> None:
    """Pass a specialist's reply to the request that waits for it."""
    try:
        consultations.on_reply(codec.consult_reply.decode(message.data))
    except codec.DecodeError as error:
        report_undecodable("advice", message.subject, error)
