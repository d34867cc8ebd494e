"""Turn worker: routes, hands off or answers one turn, and returns exactly one result."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog
from trunkline_chassis.logs import reason_of
from trunkline_chassis.tracing import span_types as spans
from trunkline_chassis.tracing.tracer import span
from trunkline_protocols.accounting import Timings
from trunkline_protocols.completion import Completed
from trunkline_protocols.evidence import RoutingEvidence
from trunkline_protocols.fleet import TRIAGE, Agent
from trunkline_protocols.ids import Instance
from trunkline_protocols.intents import NOT_HELPED, SMALL_TALK
from trunkline_protocols.refusal import Refused
from trunkline_protocols.turn import AnswerTurn, Escalate, HandOff, MessageAnalysis, TurnResult

from trunkline_agents.application.answer_writer import AnswerWriter, Draft
from trunkline_agents.application.completion_ids import CompletionIds
from trunkline_agents.application.handoff_summariser import HandoffSummariser
from trunkline_agents.application.message_analyst import MessageAnalyst, intents
from trunkline_agents.application.tool_loop import Transfer
from trunkline_agents.application.turn_task import TurnTask
from trunkline_agents.core.follow_up import follow_up_of
from trunkline_agents.core.foreign_emergencies import with_foreign_emergency
from trunkline_agents.core.intents.recognition import Alarm, find_alarm, recognise
from trunkline_agents.core.languages import LanguageTexts
from trunkline_agents.core.replies import authored_reply, replying_agent
from trunkline_agents.core.results import NO_WORK, ResultBuilder, TransferWork
from trunkline_agents.core.routing.examples import with_transcript
from trunkline_agents.core.routing.router import Embedding, RoutingChoice
from trunkline_agents.core.transcript import clarification_count, previous_owner

_log: Final = structlog.get_logger(__name__)
_MIN_SCORE_WHILE_WAITING: Final = 0.8
"""Score that an article needs to answer a customer who waits for a person."""


class TurnWorker:
    """Processes the turns of the specialties of this process."""

    def __init__(
        self,
        *,
        instance: Instance,
        analyst: MessageAnalyst,
        languages: LanguageTexts,
        writer: AnswerWriter,
        summariser: HandoffSummariser,
        ids: CompletionIds,
        reader_addresses: Mapping[str, str],
    ) -> None:
        """`instance` is the name of this process, `reader_addresses` are the operator's."""
        self._reader_addresses = reader_addresses
        self._instance = instance
        self._analyst = analyst
        self._languages = languages
        self._writer = writer
        self._summariser = summariser
        self._ids = ids

    async def process(self, task: TurnTask) -> TurnResult:
        """Process a turn; a failure is returned as a result too."""
        results = ResultBuilder(task.request, self._instance, task.routing.version)
        try:
            return await self._process(task, results)
        except Exception as error:  # any defect must end in a result: the conversation service decides about a retry
            _log.exception("turn.failed", turn=task.request.ref.turn)
            return results.failed(reason_of(error), retryable=True)

    async def _process(self, task: TurnTask, results: ResultBuilder) -> TurnResult:
        request, routing = task.request, task.routing
        with span(spans.ROUTE) as routed:
            analysis, anticipated = await self._analyst.analyse(request, routing)
            task = dataclasses.replace(task, anticipated=anticipated)
            embedding = routing.embedding_of(analysis)
            choice = self._choose(task, embedding)
            routed.set(spans.SPECIALTY, choice.specialty)
            routed.set(spans.AGENT, choice.agent.name)
        if request.specialty == TRIAGE:
            results = dataclasses.replace(results, routing=choice.evidence)
        if request.analysis is None:
            probabilities = intents(request.text, analysis, routing)
            alarm = with_foreign_emergency(
                find_alarm(
                    probabilities,
                    routing.fleet,
                    nearest=routing.router.nearest_alarm(embedding),
                    context=request.context,
                    by_words=embedding is None,
                    routed_to_urgent=choice.agent.urgent,
                ),
                request.text,
                analysis.language,
                texts=self._languages,
                fleet=routing.fleet,
            )
            if alarm is not None:
                return results.alarm(alarm, analysis)
            analysis = msgspec.structs.replace(
                analysis, intent=_intent(request, probabilities, by_words=embedding is None)
            )
        if analysis.language:
            reply = self._languages.unserved(analysis.language, routing.fleet.company.served_languages)
            return results.said(choice.agent, reply)
        if analysis.intent == NOT_HELPED and await self._analyst.repeats_that_nothing_helped(request, routing):
            return results.alarm(Alarm("normal", "person", "the advice did not help"), analysis)
        if analysis.intent not in SMALL_TALK and not request.is_waiting:
            change = await self._change_owner(task, choice, analysis, results)
            if change is not None:
                return change
        agent = choice.agent if choice.specialty == request.specialty else self._own_agent(task, embedding)
        reply = authored_reply(agent, request.text, request.context)
        if reply:
            return results.replied(agent, reply)
        if request.is_waiting and not await self._is_answered_well(task, agent, analysis):
            return results.noted(agent)
        return await self._answer(task, agent, analysis, results)

    def _choose(self, task: TurnTask, embedding: Embedding | None) -> RoutingChoice:
        """Choose specialty and agent for the message: the present ones, unless others are clearly better.

        An agent with an authored reply to the message is always better.
        """
        specialty = task.request.specialty
        replying = replying_agent(task.routing.fleet, task.request.text, self._reader_addresses, specialty)
        if replying is not None and (task.request.ref.hop == 0 or replying.specialty == specialty):
            return RoutingChoice(replying.specialty, replying, 1.0, RoutingEvidence(reason="authored_reply"))
        if specialty == TRIAGE:
            return _triage(task, embedding)
        agent = self._own_agent(task, embedding)
        # After a handoff or routing (hop > 0) the new owner keeps the turn: at most one change per turn.
        if task.request.ref.hop == 0:
            previous = previous_owner(task.request.context.transcript)
            better = task.routing.router.better_specialty(agent, task.request.text, embedding, previous_owner=previous)
            if better is not None:
                return better
        return RoutingChoice(specialty, agent, 0.0)

    def _own_agent(self, task: TurnTask, embedding: Embedding | None) -> Agent:
        request = task.request
        return task.routing.router.choose_agent(request.specialty, request.text, embedding, current=request.agent)

    async def _change_owner(
        self, task: TurnTask, choice: RoutingChoice, analysis: MessageAnalysis, results: ResultBuilder
    ) -> TurnResult | None:
        """Return the result that moves the turn to another specialty, None to answer it here."""
        if choice.specialty == task.request.specialty:
            return None
        if task.request.specialty == TRIAGE:
            timings = Timings(queued_ms=task.clock.queued_ms, route_ms=task.clock.lap_ms())
            return results.routed(choice, timings, analysis)
        return await self._hand_off(task, choice, analysis, results)

    async def _is_answered_well(self, task: TurnTask, agent: Agent, analysis: MessageAnalysis) -> bool:
        """Return whether the message of a waiting customer is small talk, or a question that an article answers."""
        if analysis.intent in SMALL_TALK:
            return True
        found = await self._writer.find(task, agent, analysis)
        return any(passage.score >= _MIN_SCORE_WHILE_WAITING for passage in found.passages)

    async def _answer(
        self, task: TurnTask, agent: Agent, analysis: MessageAnalysis, results: ResultBuilder
    ) -> TurnResult:
        draft = await self._writer.write(task, agent, analysis)
        match draft.outcome:
            case Completed(text=text) if not text.strip():
                # An empty bubble is not an answer; a gateway of another version may send one.
                return results.failed("empty: answer without text", retryable=True)
            case Completed() as completion:
                timings = msgspec.structs.replace(
                    draft.timings, first_token_ms=completion.first_token_ms, model_ms=completion.model_ms
                )
                return results.answered(agent, completion, draft.sources, timings=timings, tools=draft.tools)
            case Transfer() as transfer:
                return await self._transfer(task, agent, transfer, draft, analysis, results)
            case Refused(code=code, message=message, retryable=retryable):
                return results.failed(
                    f"{code}: {message}", retryable=retryable, cancelled=code == "cancelled", tools=draft.tools
                )

    async def _transfer(
        self,
        task: TurnTask,
        agent: Agent,
        transfer: Transfer,
        draft: Draft,
        analysis: MessageAnalysis,
        results: ResultBuilder,
    ) -> HandOff | Escalate:
        """Convert the model's decision into a result, which the conversation service may overrule."""
        arguments, completion, sources = transfer.arguments, transfer.completion, draft.sources
        work = TransferWork(
            agent=agent.name,
            provider=completion.provider,
            model=completion.model,
            usage=completion.usage,
            tools=draft.tools,
            consultations=sources.consultations,
            passages=sources.passages,
        )
        if transfer.name == "handoff":
            target = task.routing.router.choose_agent(arguments["specialty"], task.request.text)
            choice = RoutingChoice(arguments["specialty"], target, 1.0, RoutingEvidence(reason="model"))
            return await self._hand_off(task, choice, analysis, results, reason=arguments["reason"], work=work)
        return results.escalate(arguments["urgency"], arguments["reason"], work=work)

    async def _hand_off(
        self,
        task: TurnTask,
        choice: RoutingChoice,
        analysis: MessageAnalysis,
        results: ResultBuilder,
        *,
        reason: str = "",
        work: TransferWork = NO_WORK,
    ) -> HandOff:
        clock = task.clock
        route_ms = clock.lap_ms()
        with span(spans.HAND_OFF) as handed:
            handed.set(spans.SPECIALTY, choice.specialty)
            handed.set(spans.AGENT, choice.agent.name)
            summary = await self._summariser.summarise(task.request, self._ids.next())
        timings = Timings(
            queued_ms=clock.queued_ms, route_ms=route_ms, completion_ms=clock.lap_ms(), model_ms=summary.model_ms
        )
        return results.hand_off(choice, summary, reason=reason, timings=timings, analysis=analysis, work=work)


def _intent(request: AnswerTurn, probabilities: Mapping[str, float], *, by_words: bool) -> str:
    follow_up = follow_up_of(request.text, request.context.transcript)
    return recognise(probabilities, by_words=by_words, is_follow_up=bool(follow_up.documents))


def _triage(task: TurnTask, embedding: Embedding | None) -> RoutingChoice:
    """Choose specialty and agent for an unowned conversation."""
    transcript = task.request.context.transcript
    message = with_transcript(transcript, task.request.text)
    return task.routing.router.choose(
        message.text,
        embedding,
        conversation=message.conversation,
        clarifications=clarification_count(transcript),
    )
