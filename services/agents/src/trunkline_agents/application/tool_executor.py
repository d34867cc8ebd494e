"""Tool executor: runs the calls of a step; every failure becomes an outcome for the model."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import msgspec
import structlog
from prometheus_client import Counter
from trunkline_chassis.tracing import span_types as spans
from trunkline_chassis.tracing.tracer import span
from trunkline_protocols.fleet import Tool
from trunkline_protocols.rules.residency import place_of
from trunkline_protocols.tool_steps import ToolCall, ToolOutcome, ToolStep

from trunkline_agents.application.tool_catalogue import ExternalTool
from trunkline_agents.application.tool_session import ToolSession
from trunkline_agents.core.bindings import bound_values, without_bound
from trunkline_agents.core.tool_records import outcome_name
from trunkline_agents.core.tools import MAX_CALLS, MAX_STEPS, ArgumentsError, decode_arguments, parse_arguments
from trunkline_agents.ports import ToolError, ToolOutcomeUnknownError, ToolPorts

_log: Final = structlog.get_logger(__name__)
_CALLS: Final = Counter("trunkline_tool_calls_total", "Tool calls by tool and outcome", ["tool", "outcome"])
_DROPPED: Final = Counter(
    "trunkline_tool_bound_arguments_dropped_total", "Values of a model for bound arguments, by tool", ["tool"]
)
_UNKNOWN_TOOL: Final = "unknown"
_LIMIT_REACHED: Final = "There are no more tools for this message: answer with what you know."


class ToolExecutor:
    """Runs built-in tools, and external ones through their clients."""

    def __init__(self, tools: ToolPorts) -> None:
        """`tools` execute external tools."""
        self._tools = tools
        self.running = 0
        """Calls of external tools in flight."""

    async def run(self, session: ToolSession, step: ToolStep, *, is_taken_over: bool) -> list[ToolOutcome]:
        """Run all calls of a step concurrently; `is_taken_over` if another attempt may have run them already."""
        return list(
            await asyncio.gather(
                *(
                    self._run_call(session, call, position, is_taken_over=is_taken_over)
                    for position, call in enumerate(step.calls)
                )
            )
        )

    async def _run_call(
        self, session: ToolSession, call: ToolCall, position: int, *, is_taken_over: bool
    ) -> ToolOutcome:
        # The model chooses the name: one that does not exist must not become a label or a line of its own.
        name = call.name if call.name in session.tools.specs else _UNKNOWN_TOOL
        with span(spans.EXECUTE_TOOL) as executed:
            outcome = await self._outcome(session, call, position, is_taken_over=is_taken_over)
            ended = outcome_name(outcome)
            executed.set(spans.TOOL, name)
            executed.set(spans.OUTCOME, ended)
            if outcome.failed:
                executed.fail(ended)
        _CALLS.labels(name, ended).inc()
        _log.info("tool.called", tool=name, outcome=ended, ms=outcome.ms)
        return outcome

    async def _outcome(
        self, session: ToolSession, call: ToolCall, position: int, *, is_taken_over: bool
    ) -> ToolOutcome:
        started = time.perf_counter()
        try:
            text = await self._call(session, call, position, is_taken_over=is_taken_over)
            outcome = ToolOutcome(id=call.id, text=text)
        except (ArgumentsError, ToolError) as error:
            is_unknown = isinstance(error, ToolOutcomeUnknownError)
            outcome = ToolOutcome(id=call.id, text=str(error), failed=True, unknown=is_unknown)
        except Exception as error:  # a defect in one tool must not fail the turn: the model answers without it
            _log.exception("tool.failed", tool=call.name, turn=session.task.request.ref.turn)
            outcome = ToolOutcome(id=call.id, text=f"{call.name} failed: {type(error).__name__}", failed=True)
        return msgspec.structs.replace(outcome, ms=round((time.perf_counter() - started) * 1000, 3))

    async def _call(self, session: ToolSession, call: ToolCall, position: int, *, is_taken_over: bool) -> str:
        specs = session.tools.specs
        spec = specs.get(call.name)
        if spec is None:
            raise ToolError(f"there is no tool {call.name!r}; there are: {', '.join(specs)}")
        if len(session.steps) >= MAX_STEPS:
            raise ToolError(_LIMIT_REACHED)
        if position >= MAX_CALLS:
            raise ToolError(f"at most {MAX_CALLS} calls at a time; this one was not made")
        external = session.tools.external.get(call.name)
        if external is None:
            built_in_arguments = parse_arguments(call, spec)
            return await session.task.built_in[call.name](built_in_arguments)
        tool = external.tool
        self._check_region(session, tool)
        arguments = await self._arguments(session, call, external)
        is_repeatable = not tool.writes or (tool.idempotent and tool.kind == "http")
        if is_taken_over and not is_repeatable:
            raise ToolOutcomeUnknownError(
                f"{call.name} was in progress when an earlier attempt ended and may have been done; it is not repeated."
            )
        key = session.key(position)
        await self._tools.limits.admit(tool, session.task.request.context, key)
        self.running += 1
        try:
            return await self._tools.clients[tool.kind].call(tool, call.name, arguments, key)
        finally:
            self.running -= 1

    def _check_region(self, session: ToolSession, tool: Tool) -> None:
        """Refuse a tool that may not receive data of the conversation's region."""
        request = session.task.request
        region = request.context.region
        if not self._tools.borders.admits(
            "tool",
            data=region,
            place=place_of(region, tool.regions),
            conversation=request.ref.conversation,
            customer=(request.context.tenant, request.context.customer) if request.context.customer else None,
            asset=tool.name,
        ):
            raise ToolError(f"{tool.name} is not available here; answer without it.")

    async def _arguments(self, session: ToolSession, call: ToolCall, external: ExternalTool) -> dict[str, Any]:
        """Return the checked arguments of a call: the model's, and the bound ones from the customer's claims."""
        tool = external.tool
        arguments, dropped = without_bound(decode_arguments(call), tool)
        if dropped:
            _DROPPED.labels(call.name).inc(dropped)
            _log.warning("tool.bound_argument_dropped", tool=call.name, turn=session.task.request.ref.turn)
        arguments |= bound_values(tool, session.task.request.context)
        violation = await self._tools.schemas.find_violation(external.parameters, arguments)
        if violation:
            raise ArgumentsError(violation)
        return arguments
