"""Turn worker: routes, hands off or answers one turn, and returns exactly one result."""

from __future__ import annotations

from typing import Final

import msgspec
import structlog
from trunkline_protocols.accounting import Timings, ToolUse
from trunkline_protocols.completion import Completed
from trunkline_protocols.fleet import TRIAGE, Agent
from trunkline_protocols.ids import Instance, Specialty
from trunkline_protocols.refusal import Refused
from trunkline_protocols.turn import Escalate, HandOff, TurnResult

from trunkline_agents.application.answer_writer import AnswerWriter
from trunkline_agents.application.completion_ids import CompletionIds
from trunkline_agents.application.handoff_summariser import HandoffSummariser
from trunkline_agents.application.tool_loop import Transfer
from trunkline_agents.application.turn_task import TurnTask
from trunkline_agents.core.results import ResultBuilder
from trunkline_agents.core.routing.examples import with_transcript
from trunkline_agents.core.routing.router import Embedding, RoutingChoice
from trunkline_agents.core.transcript import clarification_count, previous_owner

_log: Final = structlog.get_logger(__name__)


class TurnWorker:
    """Processes the turns of one specialty."""

    def __init__(
        self,
        *,
        instance: Instance,
        specialty: Specialty,
        writer: AnswerWriter,
        summariser: HandoffSummariser,
        ids: CompletionIds,
    ) -> None:
        """`instance` and `specialty` are those of this process."""
        self._instance = instance
        self._specialty = specialty
        self._writer = writer
        self._summariser = summariser
        self._ids = ids

    async def process(self, task: TurnTask) -> TurnResult:
        """Process a turn; a failure is returned as a result too."""
        results = ResultBuilder(task.request, self._specialty, self._instance, task.routing.version)
        try:
            return await self._process(task, results)
        except Exception as error:  # any defect must end in a result: the conversation service decides about a retry
            _log.exception("turn.failed", turn=task.request.ref.turn)
            return results.failed(f"{type(error).__name__}: {error}", retryable=True)

    async def _process(self, task: TurnTask, results: ResultBuilder) -> TurnResult:
        request, router = task.request, task.routing.router
        embedding = await task.routing.embed(request.text)
        if self._specialty == TRIAGE:
            choice = _triage(task, embedding)
            if choice.specialty != TRIAGE:
                timings = Timings(queued_ms=task.clock.queued_ms, route_ms=task.clock.lap_ms())
                return results.routed(choice, timings)
            return await self._answer(task, choice.agent, results)
        agent = router.choose_agent(self._specialty, request.text, embedding, current=request.agent)
        # After a handoff or routing (hop > 0) the new owner keeps the turn: at most one change per turn.
        if request.ref.hop == 0:
            previous = previous_owner(request.context.transcript)
            better = router.better_specialty(agent, request.text, embedding, previous_owner=previous)
            if better is not None:
                return await self._hand_off(task, better, results)
        return await self._answer(task, agent, results)

    async def _answer(self, task: TurnTask, agent: Agent, results: ResultBuilder) -> TurnResult:
        draft = await self._writer.write(task, agent)
        match draft.outcome:
            case Completed() as completion:
                timings = msgspec.structs.replace(
                    draft.timings, first_token_ms=completion.first_token_ms, model_ms=completion.model_ms
                )
                return results.answered(agent.name, completion, draft.sources, timings=timings, tools=draft.tools)
            case Transfer() as transfer:
                return await self._transfer(task, transfer, draft.tools, results)
            case Refused(code=code, message=message, retryable=retryable):
                return results.failed(f"{code}: {message}", retryable=retryable, cancelled=code == "cancelled")

    async def _transfer(
        self, task: TurnTask, transfer: Transfer, tools: list[ToolUse], results: ResultBuilder
    ) -> HandOff | Escalate:
        """Convert the model's decision into a result, which the conversation service may overrule."""
        arguments = transfer.arguments
        if transfer.name == "handoff":
            agent = task.routing.router.choose_agent(arguments["specialty"], task.request.text)
            choice = RoutingChoice(arguments["specialty"], agent, 1.0)
            return await self._hand_off(task, choice, results, reason=arguments["reason"], tools=tools)
        return results.escalate(arguments["urgency"], arguments["reason"], tools=tools)

    async def _hand_off(
        self,
        task: TurnTask,
        choice: RoutingChoice,
        results: ResultBuilder,
        *,
        reason: str = "",
        tools: list[ToolUse] | None = None,
    ) -> HandOff:
        clock = task.clock
        route_ms = clock.lap_ms()
        summary = await self._summariser.summarise(task.request, self._ids.next())
        timings = Timings(
            queued_ms=clock.queued_ms, route_ms=route_ms, completion_ms=clock.lap_ms(), model_ms=summary.model_ms
        )
        return results.hand_off(choice, summary, reason=reason, timings=timings, tools=tools or [])


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
