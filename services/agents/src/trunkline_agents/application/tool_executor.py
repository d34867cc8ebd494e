"""Tool executor: runs the calls of a step; every failure becomes an outcome for the model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog
from prometheus_client import Counter
from trunkline_protocols.completion import ToolCall, ToolOutcome, ToolStep

from trunkline_agents.application.tool_session import ToolSession
from trunkline_agents.core.tools import MAX_STEPS, ArgumentsError, parse_arguments, tool_use
from trunkline_agents.ports import ToolClient, ToolError, ToolOutcomeUnknownError

_log: Final = structlog.get_logger(__name__)
_CALLS: Final = Counter("trunkline_tool_calls_total", "Tool calls by tool and outcome", ["tool", "outcome"])
_LIMIT_REACHED: Final = "There are no more tools for this message: answer with what you know."


class ToolExecutor:
    """Runs built-in tools, and external ones through their clients."""

    def __init__(self, clients: Mapping[str, ToolClient]) -> None:
        """`clients` are keyed by the kind of tool."""
        self._clients = clients

    async def run(self, session: ToolSession, step: ToolStep, *, is_taken_over: bool) -> list[ToolOutcome]:
        """Run all calls of a step concurrently; `is_taken_over` if another attempt may have run them already."""
        return list(
            await asyncio.gather(
                *(
                    self._run_call(session, call, session.key(position), is_taken_over=is_taken_over)
                    for position, call in enumerate(step.calls)
                )
            )
        )

    async def _run_call(self, session: ToolSession, call: ToolCall, key: str, *, is_taken_over: bool) -> ToolOutcome:
        started = time.perf_counter()
        try:
            outcome = ToolOutcome(id=call.id, text=await self._call(session, call, key, is_taken_over=is_taken_over))
        except (ArgumentsError, ToolError) as error:
            is_unknown = isinstance(error, ToolOutcomeUnknownError)
            outcome = ToolOutcome(id=call.id, text=str(error), failed=True, unknown=is_unknown)
        except Exception as error:  # a defect in one tool must not fail the turn: the model answers without it
            _log.exception("tool.failed", tool=call.name, turn=session.task.request.ref.turn)
            outcome = ToolOutcome(id=call.id, text=f"{call.name} failed: {type(error).__name__}", failed=True)
        outcome = msgspec.structs.replace(outcome, ms=round((time.perf_counter() - started) * 1000, 3))
        use = tool_use(call, outcome, key)
        _CALLS.labels(use.tool, use.outcome).inc()
        _log.info("tool.called", tool=use.tool, outcome=use.outcome, ms=use.ms)
        return outcome

    async def _call(self, session: ToolSession, call: ToolCall, key: str, *, is_taken_over: bool) -> str:
        specs = session.tools.specs
        spec = specs.get(call.name)
        if spec is None:
            raise ToolError(f"there is no tool {call.name!r}; there are: {', '.join(specs)}")
        if len(session.steps) >= MAX_STEPS:
            raise ToolError(_LIMIT_REACHED)
        arguments = parse_arguments(call, spec)
        built_in = session.task.built_in.get(call.name)
        if built_in is not None:
            return await built_in(arguments)
        tool = session.tools.external[call.name]
        is_repeatable = not tool.writes or (tool.idempotent and tool.kind == "http")
        if is_taken_over and not is_repeatable:
            raise ToolOutcomeUnknownError(
                f"{call.name} was in progress when an earlier attempt ended and may have been done; it is not repeated."
            )
        return await self._clients[tool.kind].call(tool, call.name, arguments, key)
