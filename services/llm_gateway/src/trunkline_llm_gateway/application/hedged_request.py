"""Hedged requests: if the first token of one provider is late, a second provider is called; the first to emit wins.

Costs an occasional second request and removes the slowest answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from trunkline_chassis.cancellation import wait_for_event

from trunkline_llm_gateway.ports import Emit, ProviderError, ProviderResult

Runner: TypeAlias = Callable[[int, Emit], Awaitable[ProviderResult]]
"""Runs the primary (0) or the secondary (1) attempt."""


class HedgedRequest:
    """At most two concurrent attempts; only the winner's pieces are forwarded."""

    def __init__(self, emit: Emit) -> None:
        """`emit` receives the pieces of the winner."""
        self.winner: int | None = None
        self._emit = emit
        self._tasks: list[asyncio.Task[ProviderResult | ProviderError]] = []
        self._primary_settled = asyncio.Event()
        """Set when an attempt emits or ends: the secondary stops waiting."""

    async def run(self, runner: Runner, after_s: float) -> tuple[int, ProviderResult]:
        """Return the winner's number and result; raise the last `ProviderError` if both fail."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks.append(tasks.create_task(self._run(0, runner)))
            self._tasks.append(tasks.create_task(self._run_secondary(runner, after_s)))
        results = [None if task.cancelled() else task.result() for task in self._tasks]
        for number in (0, 1) if self.winner != 1 else (1, 0):
            result = results[number]
            if isinstance(result, ProviderResult):
                return number, result
        raise next(result for result in reversed(results) if isinstance(result, ProviderError))

    async def _run_secondary(self, runner: Runner, after_s: float) -> ProviderResult | ProviderError:
        await wait_for_event(self._primary_settled, timeout_s=after_s)
        if self.winner == 0:
            return ProviderError("open", "secondary attempt not needed")
        return await self._run(1, runner)

    async def _run(self, number: int, runner: Runner) -> ProviderResult | ProviderError:
        async def emit(piece: str) -> None:
            self._claim(number)
            if self.winner == number:
                await self._emit(piece)

        try:
            result = await runner(number, emit)
        except ProviderError as error:
            return error
        else:
            self._claim(number)
            return result
        finally:
            self._primary_settled.set()

    def _claim(self, number: int) -> None:
        if self.winner is None:
            self.winner = number
            self._primary_settled.set()
            self._tasks[1 - number].cancel()
