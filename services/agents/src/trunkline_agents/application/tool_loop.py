"""An agent's work with tools: the model asks, the agent does, until there is an answer or a decision.

Every step of work that may write is noted before it is done and again with its outcome. Another try at the turn (a
redelivery, a killed process, a second agent that was thought dead) finds the notes, does nothing again that is done,
and repeats what was under way under the same idempotency key. A tool that fails is an answer to the model.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import msgspec
import structlog
from prometheus_client import Counter
from trunkline_chassis.errors import BusError
from trunkline_protocols.accounting import ToolUse, Usage
from trunkline_protocols.completion import (
    Complete,
    Completed,
    CompletionReply,
    ToolCall,
    ToolOutcome,
    ToolSpec,
    ToolStep,
)
from trunkline_protocols.fleet import Agent, Fleet, Tool
from trunkline_protocols.knowledge import Passage, Refused
from trunkline_protocols.turn import AnswerTurn

from trunkline_agents.core.tools import (
    DECISIONS,
    MOST_STEPS,
    ArgumentsError,
    arguments,
    built_in_specs,
    declared,
    use_of,
)
from trunkline_agents.ports import Colleagues, ToolFailure, ToolLedger, Tools, UnknownOutcome

_log: Final = structlog.get_logger(__name__)
_CALLS: Final = Counter("trunkline_tool_calls_total", "Calls of tools by what came of them", ["tool", "outcome"])
_ENOUGH: Final = "There are no more tools for this message: answer with what you know."


@dataclass(frozen=True, slots=True)
class Decision:
    """The model hands over or escalates: the arguments that it gave."""

    name: str
    arguments: dict[str, Any]


Outcome: TypeAlias = CompletionReply | Decision


@dataclass(frozen=True, slots=True)
class ToolLoopResult:
    """How the work ended, and every tool that was called for it, also by tries before this one."""

    outcome: Outcome
    uses: list[ToolUse]


BuiltIn: TypeAlias = Callable[[dict[str, Any]], Awaitable[str]]


@dataclass(slots=True)
class _Work:
    """One turn's work with tools."""

    request: AnswerTurn
    base: Complete
    by: str
    specs: dict[str, ToolSpec]
    outside: dict[str, Tool]
    built_in: dict[str, BuiltIn]
    passages: list[Passage]
    steps: list[ToolStep] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)

    @property
    def may_write(self) -> bool:
        """Whether any of its tools changes anything."""
        return any(tool.writes for tool in self.outside.values())

    def key(self, position: int) -> str:
        """Name a call of the step that is worked on: the same on every try at the turn."""
        return self._key(sum(len(step.calls) for step in self.steps) + position)

    def uses(self) -> list[ToolUse]:
        """All calls so far."""
        done = [pair for step in self.steps for pair in zip(step.calls, step.outcomes, strict=True)]
        return [use_of(call, outcome, self._key(number)) for number, (call, outcome) in enumerate(done)]

    def _key(self, number: int) -> str:
        return f"{self.request.ref.turn}/{self.request.ref.hop}.{number + 1}"


class ToolLoop:
    """Lets models use tools."""

    def __init__(self, colleagues: Colleagues, journal: ToolLedger, kinds: dict[str, Tools]) -> None:
        """`kinds` carry out the calls, by the kind of the tool."""
        self._colleagues = colleagues
        self._journal = journal
        self._kinds = kinds

    async def work(
        self,
        request: AnswerTurn,
        *,
        fleet: Fleet,
        agent: Agent,
        base: Complete,
        by: str,
        built_in: dict[str, BuiltIn],
        passages: list[Passage],
    ) -> ToolLoopResult:
        """Answer a turn with tools. `by` names this try; `passages` grows with what the model searches for."""
        specs, outside = await self._offer(fleet, agent)
        work = _Work(request, base, by, specs, outside, built_in, passages)
        await self._resume(work)
        outcome = await self._until_decided(work)
        return ToolLoopResult(outcome, work.uses())

    async def _until_decided(self, work: _Work) -> Outcome:
        while True:
            reply = await self._ask(work)
            if not isinstance(reply, Completed) or not reply.tool_calls:
                return reply
            decision = _decision(work, reply.tool_calls)
            if decision is not None:
                return decision
            if len(work.steps) > MOST_STEPS:
                return Refused(code="tools", message="the model asks for tools and does not answer", retryable=False)
            await self._do(work, ToolStep(calls=reply.tool_calls, outcomes=[], text=reply.text))

    async def _offer(self, fleet: Fleet, agent: Agent) -> tuple[dict[str, ToolSpec], dict[str, Tool]]:
        """Collect what the agent may use; a server that does not tell its tools is left out."""
        specs = {spec.name: spec for spec in built_in_specs(agent)}
        outside: dict[str, Tool] = {}
        for tool in declared(fleet, agent):
            try:
                found = await self._kinds[tool.kind].specs(tool)
            except ToolFailure as error:
                _log.warning("tool.left_out", tool=tool.name, reason=str(error))
                continue
            for spec in found:
                specs[spec.name] = spec
                outside[spec.name] = tool
        return specs, outside

    async def _resume(self, work: _Work) -> None:
        """Take over the steps of earlier tries, and finish the one that was under way."""
        if not work.may_write:
            return
        for noted in await self._journal.steps(work.request):
            if noted.step.outcomes:
                work.steps.append(noted.step)
            else:
                await self._finish(work, noted.step, is_taken_over=noted.by != work.by)

    async def _ask(self, work: _Work) -> CompletionReply:
        request = msgspec.structs.replace(
            work.base, tools=list(work.specs.values()), tool_steps=list(work.steps), passages=list(work.passages)
        )
        reply = await self._colleagues.complete(request)
        if not isinstance(reply, Completed):
            return reply
        before, more = work.usage, reply.usage
        work.usage = Usage(
            input_tokens=before.input_tokens + more.input_tokens,
            output_tokens=before.output_tokens + more.output_tokens,
            cost=before.cost + more.cost,
        )
        return msgspec.structs.replace(reply, usage=work.usage)

    async def _do(self, work: _Work, step: ToolStep) -> None:
        if not work.may_write:
            work.steps.append(msgspec.structs.replace(step, outcomes=await self._outcomes(work, step, taken=False)))
            return
        noted = await self._journal.begin(work.request, len(work.steps), step, work.by)
        if noted.step.outcomes:
            # Another try has done this step meanwhile: its outcome is the outcome.
            work.steps.append(noted.step)
            return
        await self._finish(work, noted.step, is_taken_over=noted.by != work.by)

    async def _finish(self, work: _Work, step: ToolStep, *, is_taken_over: bool) -> None:
        number = len(work.steps)
        done = msgspec.structs.replace(step, outcomes=await self._outcomes(work, step, taken=is_taken_over))
        work.steps.append(done)
        try:
            await self._journal.end(work.request, number, done, work.by)
        except BusError as error:
            # Another try will repeat it under the same key.
            _log.warning("tool.unnoted", turn=work.request.ref.turn, step=number, error=str(error))

    async def _outcomes(self, work: _Work, step: ToolStep, *, taken: bool) -> list[ToolOutcome]:
        """Do all calls of a step side by side."""
        return list(
            await asyncio.gather(
                *(
                    self._outcome(work, call, work.key(position), is_taken_over=taken)
                    for position, call in enumerate(step.calls)
                )
            )
        )

    async def _outcome(self, work: _Work, call: ToolCall, key: str, *, is_taken_over: bool) -> ToolOutcome:
        """Do one call; whatever goes wrong is told to the model."""
        started = time.perf_counter()
        try:
            outcome = ToolOutcome(id=call.id, text=await self._call(work, call, key, is_taken_over=is_taken_over))
        except (ArgumentsError, ToolFailure) as error:
            unknown = isinstance(error, UnknownOutcome)
            outcome = ToolOutcome(id=call.id, text=str(error), failed=True, unknown=unknown)
        except Exception as error:
            _log.exception("tool.failed", tool=call.name, turn=work.request.ref.turn)
            outcome = ToolOutcome(id=call.id, text=f"{call.name} failed: {type(error).__name__}", failed=True)
        outcome = msgspec.structs.replace(outcome, ms=round((time.perf_counter() - started) * 1000, 3))
        use = use_of(call, outcome, key)
        _CALLS.labels(use.tool, use.outcome).inc()
        _log.info("tool.called", tool=use.tool, outcome=use.outcome, ms=use.ms)
        return outcome

    async def _call(self, work: _Work, call: ToolCall, key: str, *, is_taken_over: bool) -> str:
        spec = work.specs.get(call.name)
        if spec is None:
            raise ToolFailure(f"there is no tool {call.name!r}; there are: {', '.join(work.specs)}")
        if len(work.steps) >= MOST_STEPS:
            raise ToolFailure(_ENOUGH)
        given = arguments(call, spec)
        if call.name in work.built_in:
            return await work.built_in[call.name](given)
        tool = work.outside[call.name]
        if is_taken_over and tool.writes and not (tool.idempotent and tool.kind == "http"):
            raise UnknownOutcome(
                f"{call.name} was under way when an earlier try ended, and may have been done. It is not done again."
            )
        return await self._kinds[tool.kind].call(tool, call.name, given, key)


def _decision(work: _Work, calls: list[ToolCall]) -> Decision | None:
    """Return the first call that ends the work, when its arguments are right; a wrong one is answered as a failure."""
    for call in calls:
        spec = work.specs.get(call.name)
        if call.name in DECISIONS and spec is not None:
            try:
                return Decision(call.name, arguments(call, spec))
            except ArgumentsError:
                continue
    return None
