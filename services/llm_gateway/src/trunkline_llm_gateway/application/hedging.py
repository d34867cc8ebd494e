"""A hedged call: when the first provider's first token is late, a second one is asked too; the first to speak writes.

Costs a second request now and then, and takes the slowest answers away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from trunkline_chassis.cancellation import wait_for_event

from trunkline_llm_gateway.ports import Emit, ProviderError, ProviderResult

Runner: TypeAlias = Callable[[int, Emit], Awaitable[ProviderResult]]
"""Runs the first (0) or the second (1) of the pair."""


class HedgedRequest:
    """Two runners at most; one of them is heard."""

    def __init__(self, emit: Emit) -> None:
        """`emit` takes the pieces of the one that is heard."""
        self.winner: int | None = None
        self._emit = emit
        self._tasks: list[asyncio.Task[ProviderResult | ProviderError]] = []
        self._decided = asyncio.Event()
        """The first runner has spoken or failed: the second one need not wait any longer."""

    async def run(self, runner: Runner, after_s: float) -> tuple[int, ProviderResult]:
        """Return which of the two wrote and how it ended; raise the last failure when neither did."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks.append(tasks.create_task(self._run(0, runner)))
            self._tasks.append(tasks.create_task(self._second(runner, after_s)))
        results = [None if task.cancelled() else task.result() for task in self._tasks]
        for number in (0, 1) if self.winner != 1 else (1, 0):
            result = results[number]
            if isinstance(result, ProviderResult):
                return number, result
        raise next(result for result in reversed(results) if isinstance(result, ProviderError))

    async def _second(self, runner: Runner, after_s: float) -> ProviderResult | ProviderError:
        await wait_for_event(self._decided, timeout_s=after_s)
        if self.winner == 0:
            return ProviderError("open", "was not needed")
        return await self._run(1, runner)

    async def _run(self, number: int, runner: Runner) -> ProviderResult | ProviderError:
        async def emit(piece: str) -> None:
            self._claim(number)
            if self.winner == number:
                await self._emit(piece)

        try:
            written = await runner(number, emit)
        except ProviderError as error:
            return error
        else:
            self._claim(number)
            return written
        finally:
            self._decided.set()

    def _claim(self, number: int) -> None:
        if self.winner is None:
            self.winner = number
            self._decided.set()
            self._tasks[1 - number].cancel()
