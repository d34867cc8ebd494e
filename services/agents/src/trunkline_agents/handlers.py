"""What comes in, and who handles it.

work.<specialty>.<lane>            AnswerTurn        -> `WorkHandler.handle` -> `TurnWorker.result`
work.<specialty>.high              Consult           -> `WorkHandler.handle` -> `Advisor.advise`
consult.<specialty>.cancelled      ConsultCancelled  -> `on_consult_cancelled`
advice.<instance>                  ConsultReply      -> `on_advice`
"""

from __future__ import annotations

import time
from typing import Final, assert_never

import structlog
from nats.aio.msg import Msg
from trunkline_chassis.delivery import Delivery, Done, Outcome, Reject
from trunkline_chassis.latency import RecentLatency
from trunkline_protocols import codec
from trunkline_protocols.consultation import Consult
from trunkline_protocols.ids import Instance
from trunkline_protocols.turn import AnswerTurn, TaskClaimed

from trunkline_agents.application.advisor import Advisor
from trunkline_agents.application.consultation_client import ConsultationClient
from trunkline_agents.application.priority_semaphore import PrioritySemaphore
from trunkline_agents.application.routing import CurrentRouting
from trunkline_agents.application.turn_worker import Stopwatch, TurnWorker
from trunkline_agents.application.work_heartbeat import WorkHeartbeat
from trunkline_agents.ports import Colleagues

_log: Final = structlog.get_logger(__name__)


class WorkHandler:
    """Takes the work of one specialty."""

    def __init__(
        self,
        *,
        instance: Instance,
        colleagues: Colleagues,
        worker: TurnWorker,
        advising: Advisor,
        experts: CurrentRouting,
        beats: WorkHeartbeat,
        hands: PrioritySemaphore,
        latency: RecentLatency,
    ) -> None:
        """One a process."""
        self._instance = instance
        self._colleagues = colleagues
        self._worker = worker
        self._advising = advising
        self._experts = experts
        self._beats = beats
        self._hands = hands
        self._latency = latency

    async def handle(self, delivery: Delivery) -> Outcome:
        """Handle one delivery of the work queue. It is acknowledged already: whoever ordered it watches."""
        try:
            message = codec.work.decode(delivery.payload)
        except codec.DecodeError as error:
            return Reject(str(error))
        match message:
            case AnswerTurn():
                await self._answer(message)
            case Consult():
                await self._advising.advise(message)
            case _:
                assert_never(message)
        return Done()

    async def _answer(self, request: AnswerTurn) -> None:
        now = time.time()
        if now > request.deadline_at:
            _log.warning("turn.expired", turn=request.ref.turn)
            return
        # Claimed before there is a free hand: from now on this process answers for it.
        with self._beats.working_on(request):
            await self._colleagues.report(
                request.reply_to,
                TaskClaimed(
                    ref=request.ref,
                    instance=self._instance,
                ),
            )
            async with self._hands.at_work(request):
                clock = Stopwatch(queued_ms=(time.time() - request.dispatched_at) * 1000)
                result = await self._worker.result(request, self._experts.current, clock)
        await self._colleagues.report(request.reply_to, result)
        took_ms = (time.time() - now) * 1000
        self._latency.add(took_ms)
        _log.info(
            "turn.worked",
            turn=request.ref.turn,
            attempt=request.ref.attempt,
            outcome=result.__struct_config__.tag,
            duration_ms=round(took_ms, 1),
        )


def on_consult_cancelled(advising: Advisor, message: Msg) -> None:
    """Stop what nobody waits for."""
    try:
        advising.cancel(codec.consult_cancelled.decode(message.data))
    except codec.DecodeError as error:
        _log.error("consult.unreadable", subject=message.subject, error=str(error))


def on_advice(consulting: ConsultationClient, message: Msg) -> None:
    """Pass a specialist's reply to whoever asked."""
    try:
        consulting.hear(codec.consult_reply.decode(message.data))
    except codec.DecodeError as error:
        _log.error("advice.unreadable", subject=message.subject, error=str(error))
