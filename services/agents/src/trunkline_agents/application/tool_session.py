"""Tool session: input and progress of one attempt at a turn with tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
from trunkline_protocols.accounting import ToolUse, Usage
from trunkline_protocols.completion import Complete, Completed
from trunkline_protocols.fleet import Agent, Fleet, Tool
from trunkline_protocols.knowledge import Passage
from trunkline_protocols.tool_steps import ToolStep
from trunkline_protocols.turn import AnswerTurn

from trunkline_agents.application.tool_catalogue import OfferedTools
from trunkline_agents.core.results import total_usage
from trunkline_agents.core.tool_records import FinishedCall, tool_uses

BuiltInTool: TypeAlias = Callable[[dict[str, Any]], Awaitable[str]]
"""Handler of a built-in tool: takes the validated arguments, returns the result, raises `ToolError`."""


@dataclass(frozen=True, slots=True)
class ToolTask:
    """A turn to be answered with tools."""

    request: AnswerTurn
    fleet: Fleet
    agent: Agent
    completion: Complete
    """The completion request without tools."""
    by: str
    """Id of this attempt in the tool ledger."""
    built_in: dict[str, BuiltInTool]
    passages: list[Passage]
    """Retrieved passages; a knowledge search appends to them."""


@dataclass(slots=True)
class ToolSession:
    """Steps and usage of a task so far."""

    task: ToolTask
    tools: OfferedTools
    steps: list[ToolStep] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    model_ms: float = 0.0

    def next_completion(self) -> Complete:
        """Return the completion request that includes the tools, the steps and the passages so far."""
        return msgspec.structs.replace(
            self.task.completion,
            tools=list(self.tools.specs.values()),
            tool_steps=list(self.steps),
            passages=list(self.task.passages),
        )

    def with_totals(self, completion: Completed) -> Completed:
        """Add usage and time of a completion and return it with the totals so far."""
        self.usage = total_usage(self.usage, completion.usage)
        self.model_ms += completion.model_ms
        return msgspec.structs.replace(completion, usage=self.usage, model_ms=self.model_ms)

    def key(self, position: int) -> str:
        """Return the idempotency key of a call in the current step: the same in every attempt at the turn."""
        return self._key(sum(len(step.calls) for step in self.steps) + position)

    def uses(self) -> list[ToolUse]:
        """Return the records of all calls, earlier attempts included."""
        done = [pair for step in self.steps for pair in zip(step.calls, step.outcomes, strict=True)]
        finished = (
            FinishedCall(call, outcome, self._key(number), self._tool(call.name))
            for number, (call, outcome) in enumerate(done)
        )
        return tool_uses(finished, self.task.request.context)

    def _tool(self, name: str) -> Tool | None:
        external = self.tools.external.get(name)
        return external.tool if external is not None else None

    def _key(self, number: int) -> str:
        ref = self.task.request.ref
        return f"{ref.turn}/{ref.hop}.{number + 1}"
