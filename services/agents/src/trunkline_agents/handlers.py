"""What comes in, and who handles it.

work.<specialty>.<lane>            AnswerTurn        -> `Intake.handle` -> `TurnWorker.result`
work.<specialty>.high              Consult           -> `Intake.handle` -> `Advising.advise`
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

from trunkline_agents.advising import Advising
from trunkline_agents.beats import Beats
from trunkline_agents.consulting import Consulting
from trunkline_agents.expertise import Experts
from trunkline_agents.lanes import Hands
from trunkline_agents.ports import Colleagues
from trunkline_agents.turns import Clockwork, TurnWorker

_log: Final = structlog.get_logger(__name__)


class Intake:
    """Takes the work of one specialty."""

    def __init__(
        self,
        *,
        instance: Instance,
        colleagues: Colleagues,
        worker: TurnWorker,
        advising: Advising,
        experts: Experts,
        beats: Beats,
        hands: Hands,
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

    async def _answer(self, order: AnswerTurn) -> None:
        now = time.time()
        if now > order.deadline_at:
            _log.warning("turn.expired", turn=order.turn)
            return
        # Claimed before there is a free hand: from now on this process answers for it.
        with self._beats.working_on(order):
            await self._colleagues.report(
                order.owner,
                TaskClaimed(
                    conversation=order.conversation,
                    turn=order.turn,
                    attempt=order.attempt,
                    hop=order.hop,
                    instance=self._instance,
                ),
            )
            async with self._hands.at_work(order):
                clock = Clockwork(queued_ms=(time.time() - order.dispatched_at) * 1000)
                result = await self._worker.result(order, self._experts.current, clock)
        await self._colleagues.report(order.owner, result)
        took_ms = (time.time() - now) * 1000
        self._latency.add(took_ms)
        _log.info(
            "turn.worked",
            turn=order.turn,
            attempt=order.attempt,
            outcome=result.__struct_config__.tag,
            duration_ms=round(took_ms, 1),
        )


def on_consult_cancelled(advising: Advising, message: Msg) -> None:
    """Stop what nobody waits for."""
    try:
        advising.cancel(codec.consult_cancelled.decode(message.data))
    except codec.DecodeError as error:
        _log.error("consult.unreadable", subject=message.subject, error=str(error))


def on_advice(consulting: Consulting, message: Msg) -> None:
    """Pass a specialist's reply to whoever asked."""
    try:
        consulting.hear(codec.consult_reply.decode(message.data))
    except codec.DecodeError as error:
        _log.error("advice.unreadable", subject=message.subject, error=str(error))
