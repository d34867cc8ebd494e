"""Tool session: input and progress of one attempt at a turn with tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
from trunkline_protocols.accounting import ToolUse, Usage
from trunkline_protocols.completion import Complete, Completed
from trunkline_protocols.fleet import Agent, Fleet
from trunkline_protocols.knowledge import Passage
from trunkline_protocols.tool_steps import ToolStep
from trunkline_protocols.turn import AnswerTurn

from trunkline_agents.application.tool_catalogue import OfferedTools
from trunkline_agents.core.tools import tool_use

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
        total, added = self.usage, completion.usage
        self.usage = Usage(
            input_tokens=total.input_tokens + added.input_tokens,
            output_tokens=total.output_tokens + added.output_tokens,
            cost=total.cost + added.cost,
            estimated=total.estimated or added.estimated,
        )
        self.model_ms += completion.model_ms
        return msgspec.structs.replace(completion, usage=self.usage, model_ms=self.model_ms)

    def key(self, position: int) -> str:
        """Return the idempotency key of a call in the current step: the same in every attempt at the turn."""
        return self._key(sum(len(step.calls) for step in self.steps) + position)

    def uses(self) -> list[ToolUse]:
        """Return the records of all calls, earlier attempts included."""
        done = [pair for step in self.steps for pair in zip(step.calls, step.outcomes, strict=True)]
        return [tool_use(call, outcome, self._key(number)) for number, (call, outcome) in enumerate(done)]

    def _key(self, number: int) -> str:
        ref = self.task.request.ref
        return f"{ref.turn}/{ref.hop}.{number + 1}"
