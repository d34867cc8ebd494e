"""Tool loop: alternates completions and tool calls until the model answers or transfers the conversation.

If any tool has side effects, every step is recorded before its execution and again with its outcomes. Another attempt
at the turn (after a redelivery, a killed process, or a second agent when the first was assumed dead) reads the record,
skips completed steps, and repeats an interrupted one under the same idempotency keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec
import structlog
from trunkline_chassis.errors import BusError
from trunkline_protocols.accounting import ToolUse
from trunkline_protocols.completion import Completed, CompletionReply
from trunkline_protocols.refusal import Refused
from trunkline_protocols.tool_steps import ToolStep

from trunkline_agents.application.tool_catalogue import OfferedTools, ToolCatalogue
from trunkline_agents.application.tool_executor import ToolExecutor
from trunkline_agents.application.tool_session import ToolSession, ToolTask
from trunkline_agents.core.tools import MAX_STEPS, TRANSFER_TOOLS, ArgumentsError, parse_arguments
from trunkline_agents.ports import LanguageModel, ToolLedger, ToolPorts

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Transfer:
    """The model's decision to hand off or escalate: the tool's name and its arguments."""

    name: str
    arguments: dict[str, Any]
    completion: Completed
    """The last completion, with the usage of all."""


ModelOutcome: TypeAlias = CompletionReply | Transfer


@dataclass(frozen=True, slots=True)
class ToolLoopResult:
    """The final outcome and all tool calls of the turn, earlier attempts included."""

    outcome: ModelOutcome
    uses: list[ToolUse]


class ToolLoop:
    """Answers turns with a model that may call tools."""

    def __init__(self, model: LanguageModel, ledger: ToolLedger, tools: ToolPorts) -> None:
        """`tools` execute external tools."""
        self._model = model
        self._ledger = ledger
        self._catalogue = ToolCatalogue(tools.clients)
        self._executor = ToolExecutor(tools)

    @property
    def calls(self) -> int:
        """Number of calls of external tools in flight."""
        return self._executor.running

    async def run(self, task: ToolTask) -> ToolLoopResult:
        """Run until the model answers, transfers the conversation, or exceeds the step limit."""
        session = ToolSession(task, await self._catalogue.tools_for(task.fleet, task.agent))
        await self._resume(session)
        outcome = await self._complete(session)
        return ToolLoopResult(outcome, session.uses())

    async def _complete(self, session: ToolSession) -> ModelOutcome:
        while True:
            reply = await self._model.complete(session.next_completion())
            if not isinstance(reply, Completed):
                return reply
            reply = session.with_totals(reply)
            if not reply.tool_calls:
                return reply
            transfer = _transfer(session.tools, reply)
            if transfer is not None:
                return transfer
            if len(session.steps) > MAX_STEPS:
                return Refused(code="tools", message="the model exceeded the limit of tool steps", retryable=False)
            await self._execute(session, ToolStep(calls=reply.tool_calls, outcomes=[], text=reply.text))

    async def _resume(self, session: ToolSession) -> None:
        """Adopt the recorded steps of earlier attempts and finish the interrupted one."""
        if not session.tools.may_write:
            return
        for recorded in await self._ledger.steps(session.task.request):
            if recorded.step.outcomes:
                session.steps.append(recorded.step)
            else:
                await self._finish(session, recorded.step, is_taken_over=recorded.by != session.task.by)

    async def _execute(self, session: ToolSession, step: ToolStep) -> None:
        if not session.tools.may_write:
            outcomes = await self._executor.run(session, step, is_taken_over=False)
            session.steps.append(msgspec.structs.replace(step, outcomes=outcomes))
            return
        by = session.task.by
        recorded = await self._ledger.begin(session.task.request, len(session.steps), step, by)
        if recorded.step.outcomes:
            # A concurrent attempt has finished this step: its outcomes count.
            session.steps.append(recorded.step)
            return
        await self._finish(session, recorded.step, is_taken_over=recorded.by != by)

    async def _finish(self, session: ToolSession, step: ToolStep, *, is_taken_over: bool) -> None:
        number = len(session.steps)
        outcomes = await self._executor.run(session, step, is_taken_over=is_taken_over)
        done = msgspec.structs.replace(step, outcomes=outcomes)
        session.steps.append(done)
        request = session.task.request
        try:
            await self._ledger.end(request, number, done, session.task.by)
        except BusError as error:
            # Another attempt would repeat the step under the same keys.
            _log.warning("tool_step.record_failed", turn=request.ref.turn, step=number, error=str(error))


def _transfer(tools: OfferedTools, reply: Completed) -> Transfer | None:
    """Return the first transfer with valid arguments; an invalid one is executed, and fails, like any other call."""
    for call in reply.tool_calls:
        spec = tools.specs.get(call.name)
        if call.name in TRANSFER_TOOLS and spec is not None:
            try:
                return Transfer(call.name, parse_arguments(call, spec), reply)
            except ArgumentsError:
                continue
    return None
