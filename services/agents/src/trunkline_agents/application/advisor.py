"""Giving advice: a specialist answers another agent's question; ownership stays where it is."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import Final

import structlog
from trunkline_protocols.completion import Complete, Completed
from trunkline_protocols.consultation import (
    Advice,
    AdviceRefused,
    Consult,
    ConsultCancelled,
    ConsultProgress,
    ConsultReply,
)
from trunkline_protocols.fleet import Agent
from trunkline_protocols.ids import Instance

from trunkline_agents.application.routing import CurrentRouting, FleetRouting
from trunkline_agents.core.briefing import instructions, knowledge_search, search_query
from trunkline_agents.ports import Colleagues

_log: Final = structlog.get_logger(__name__)

MOST_DEPTH: Final = 2
"""A specialist that is consulted may consult once more; a question that came a longer way is refused."""

_CANCELLED_REMEMBERED: Final = 1_000


class Advisor:
    """Answers the questions of other agents."""

    def __init__(
        self, colleagues: Colleagues, instance: Instance, *, specialty: str, experts: CurrentRouting, progress_s: float
    ) -> None:
        """Says every `progress_s` seconds that it is at it."""
        self._colleagues = colleagues
        self._instance = instance
        self._specialty = specialty
        self._experts = experts
        self._progress_s = progress_s
        self._running: dict[str, asyncio.Timeout] = {}
        self._cancelled: OrderedDict[str, None] = OrderedDict()

    def cancel(self, cancelled: ConsultCancelled) -> None:
        """Stop working on it, or never begin."""
        self._cancelled[cancelled.consultation] = None
        while len(self._cancelled) > _CANCELLED_REMEMBERED:
            self._cancelled.popitem(last=False)
        running = self._running.get(cancelled.consultation)
        if running is not None:
            running.reschedule(asyncio.get_running_loop().time())

    async def advise(self, consult: Consult) -> None:
        """Answer one question, or say why not; nothing for one that nobody waits for."""
        if consult.consultation in self._cancelled:
            return
        reason = self._why_not(consult)
        reply: ConsultReply | None
        if reason:
            reply = AdviceRefused(consultation=consult.consultation, reason=reason)
        else:
            reply = await self._work_on(consult)
        if reply is not None:
            await self._colleagues.advise(consult.asker, reply)

    def _why_not(self, consult: Consult) -> str:
        if consult.asked_by == self._specialty:
            return f"{self._specialty} cannot consult itself"
        if consult.depth > MOST_DEPTH:
            return f"the question came over {consult.depth} specialists, {MOST_DEPTH} are allowed"
        if time.time() >= consult.deadline_at:
            return "the deadline has passed"
        return ""

    async def _work_on(self, consult: Consult) -> ConsultReply | None:
        left_s = consult.deadline_at - time.time()
        try:
            async with asyncio.timeout(left_s) as limit:
                self._running[consult.consultation] = limit
                await self._colleagues.advise(consult.asker, self._progress(consult))
                async with asyncio.TaskGroup() as tasks:
                    progress = tasks.create_task(self._tell_progress(consult))
                    reply = await self._advice(consult, self._experts.current)
                    progress.cancel()
                return reply
        except TimeoutError:
            _log.info("consult.given_up", consultation=consult.consultation)
            return None
        except Exception as error:
            _log.exception("consult.failed", consultation=consult.consultation)
            return AdviceRefused(consultation=consult.consultation, reason=f"{type(error).__name__}: {error}")
        finally:
            self._running.pop(consult.consultation, None)

    async def _tell_progress(self, consult: Consult) -> None:
        while True:
            await asyncio.sleep(self._progress_s)
            await self._colleagues.advise(consult.asker, self._progress(consult))

    def _progress(self, consult: Consult) -> ConsultProgress:
        return ConsultProgress(consultation=consult.consultation, instance=self._instance)

    async def _advice(self, consult: Consult, expertise: FleetRouting) -> ConsultReply:
        started = time.perf_counter()
        agent = expertise.router.agent_of(self._specialty, consult.question, current=consult.agent)
        passages = await self._colleagues.search(
            knowledge_search(search_query(consult.question, consult.context), consult.context, agent)
        )
        completion = await self._colleagues.complete(
            Complete(
                instructions=instructions(expertise.fleet.company, agent),
                question=consult.question,
                transcript=consult.context.transcript,
                summary=consult.context.summary,
                passages=passages,
                deadline_at=consult.deadline_at,
                request_id=consult.consultation,
                region=consult.context.region,
                tenant=consult.context.tenant,
            )
        )
        return self._reply(consult, agent, completion, (time.perf_counter() - started) * 1000)

    def _reply(self, consult: Consult, agent: Agent, completion: object, work_ms: float) -> ConsultReply:
        if not isinstance(completion, Completed):
            return AdviceRefused(consultation=consult.consultation, reason=f"no completion: {completion}")
        if completion.abstained:
            return AdviceRefused(consultation=consult.consultation, reason=f"{agent.name} does not know")
        return Advice(
            consultation=consult.consultation,
            specialty=consult.specialty,
            agent=agent.name,
            text=completion.text,
            citations=completion.citations,
            usage=completion.usage,
            work_ms=round(work_ms, 3),
        )
