"""Specialist side of consultations: advises another agent, which keeps the conversation."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import Final

import msgspec
import structlog
from trunkline_chassis.clock import steady_time
from trunkline_chassis.logs import reason_of
from trunkline_chassis.tracing import span_types as spans
from trunkline_chassis.tracing.tracer import span
from trunkline_protocols.completion import Complete, Completed, CompletionReply
from trunkline_protocols.consultation import (
    Advice,
    AdviceRefused,
    Consult,
    ConsultCancelled,
    ConsultProgress,
    ConsultReply,
)
from trunkline_protocols.fleet import Agent

from trunkline_agents.application.routing import CurrentRouting, FleetRouting
from trunkline_agents.core.follow_up import follow_up_of
from trunkline_agents.core.knowledge_query import knowledge_query
from trunkline_agents.core.prompts import instructions
from trunkline_agents.core.results import retrieved
from trunkline_agents.ports import Consultations, KnowledgeSearch, LanguageModel

_log: Final = structlog.get_logger(__name__)

MAX_DEPTH: Final = 2
"""A consulted specialist may consult once more; a request with a greater depth is refused."""

_MAX_CANCELLED: Final = 1_000
"""Cancelled consultations that are remembered, in case a request arrives after its cancellation."""


class Advisor:
    """Handles consultation requests for the specialties of this process."""

    def __init__(
        self,
        *,
        routing: CurrentRouting,
        knowledge: KnowledgeSearch,
        model: LanguageModel,
        consultations: Consultations,
        progress_interval_s: float,
    ) -> None:
        """Report progress every `progress_interval_s` seconds."""
        self._routing = routing
        self._knowledge = knowledge
        self._model = model
        self._consultations = consultations
        self._progress_interval_s = progress_interval_s
        self._running: dict[str, asyncio.Timeout] = {}
        self._cancelled: OrderedDict[str, None] = OrderedDict()

    def cancel(self, cancelled: ConsultCancelled) -> None:
        """Stop a running consultation, or skip it when its request arrives."""
        self._cancelled[cancelled.consultation] = None
        while len(self._cancelled) > _MAX_CANCELLED:
            self._cancelled.popitem(last=False)
        running = self._running.get(cancelled.consultation)
        if running is not None:
            running.reschedule(asyncio.get_running_loop().time())

    async def advise(self, consult: Consult) -> None:
        """Reply to a request with advice or a refusal; a cancelled or expired request gets no reply."""
        if consult.consultation in self._cancelled:
            return
        reason = self._refusal_reason(consult)
        reply: ConsultReply | None
        if reason:
            reply = AdviceRefused(consultation=consult.consultation, reason=reason)
        else:
            with span(spans.INVOKE_AGENT) as invoked:
                invoked.set(spans.CONVERSATION, consult.ref.conversation)
                invoked.set(spans.TURN, consult.ref.turn)
                invoked.set(spans.SPECIALTY, consult.specialty)
                invoked.set(spans.AGENT, consult.agent)
                invoked.set(spans.CONSULTATION, consult.consultation)
                reply = await self._work_on(consult)
                if isinstance(reply, AdviceRefused):
                    invoked.fail("refused")
        if reply is not None:
            await self._consultations.reply(consult.reply_to, reply)

    def _refusal_reason(self, consult: Consult) -> str:
        if consult.requested_by == consult.specialty:
            return f"{consult.specialty} cannot consult itself"
        if consult.depth > MAX_DEPTH:
            return f"consultation depth {consult.depth}, at most {MAX_DEPTH} are allowed"
        if steady_time() >= consult.deadline_at:
            return "deadline exceeded"
        return ""

    async def _work_on(self, consult: Consult) -> ConsultReply | None:
        left_s = consult.deadline_at - steady_time()
        try:
            async with asyncio.timeout(left_s) as limit:
                self._running[consult.consultation] = limit
                await self._consultations.reply(consult.reply_to, _progress(consult))
                async with asyncio.TaskGroup() as tasks:
                    progress = tasks.create_task(self._report_progress(consult))
                    reply = await self._advice(consult, self._routing.of(consult.fleet_version))
                    progress.cancel()
                return reply
        except TimeoutError:
            _log.info("consultation.timed_out", consultation=consult.consultation)
            return None
        except Exception as error:  # any failure becomes a refusal, so that the requester does not wait for its timeout
            _log.exception("consultation.failed", consultation=consult.consultation)
            return AdviceRefused(consultation=consult.consultation, reason=reason_of(error))
        finally:
            self._running.pop(consult.consultation, None)

    async def _report_progress(self, consult: Consult) -> None:
        while True:
            await asyncio.sleep(self._progress_interval_s)
            await self._consultations.reply(consult.reply_to, _progress(consult))

    async def _advice(self, consult: Consult, routing: FleetRouting) -> ConsultReply:
        started = time.perf_counter()
        agent = routing.router.choose_agent(consult.specialty, consult.question, current=consult.agent)
        follow_up = follow_up_of(consult.question, consult.context.transcript)
        passages = await self._knowledge.search(
            knowledge_query(consult.question, consult.context, agent, follow_up=follow_up)
        )
        completion = await self._model.complete(
            Complete(
                instructions=instructions(routing.fleet.company, agent, consult.context.locale),
                text=consult.question,
                transcript=consult.context.transcript,
                summary=consult.context.summary,
                passages=passages,
                deadline_at=consult.deadline_at,
                request_id=consult.consultation,
                region=consult.context.region,
                tenant=consult.context.tenant,
                locale=consult.context.locale,
                facts={fact.name: fact.value for fact in consult.context.facts},
                route=agent.model.route,
                temperature=agent.model.temperature,
                max_tokens=agent.model.max_tokens,
            )
        )
        reply = _advice_reply(consult, agent, completion, (time.perf_counter() - started) * 1000)
        return msgspec.structs.replace(reply, retrieved=retrieved(passages)) if isinstance(reply, Advice) else reply


def _progress(consult: Consult) -> ConsultProgress:
    return ConsultProgress(consultation=consult.consultation)


def _advice_reply(consult: Consult, agent: Agent, completion: CompletionReply, work_ms: float) -> ConsultReply:
    if not isinstance(completion, Completed):
        return AdviceRefused(consultation=consult.consultation, reason=f"no completion: {completion}")
    if completion.abstained or not completion.text.strip():
        return AdviceRefused(
            consultation=consult.consultation,
            reason=f"{agent.name} has no answer",
            provider=completion.provider,
            model=completion.model,
            usage=completion.usage,
        )
    return Advice(
        consultation=consult.consultation,
        agent=agent.name,
        text=completion.text,
        citations=completion.citations,
        usage=completion.usage,
        work_ms=round(work_ms, 3),
        provider=completion.provider,
        model=completion.model,
    )
