"""What is ordered, and who does it.

llm.<region>.complete   Complete           -> `Gateway.complete`
llm.<region>.cancel     CancelCompletion   -> `Gateway.cancel`
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from trunkline_protocols.completion import CancelCompletion, Complete, Completed, CompletionReply
from trunkline_protocols.knowledge import Refused
from trunkline_protocols.turn import Delta

from trunkline_llm_gateway.application.attempt_recorder import Attempt, AttemptRecorder
from trunkline_llm_gateway.application.budget_guard import BudgetGuard
from trunkline_llm_gateway.application.coalescing import RequestCoalescer, is_shareable
from trunkline_llm_gateway.application.completion_buffer import CompletionBuffer
from trunkline_llm_gateway.application.deltas import DeltaStreams
from trunkline_llm_gateway.application.hedging import HedgedRequest
from trunkline_llm_gateway.application.in_flight import Deadline, InFlightCompletions
from trunkline_llm_gateway.application.provider_client import ProviderClient
from trunkline_llm_gateway.application.provider_registry import ProviderRegistry
from trunkline_llm_gateway.core.budgets import Spending
from trunkline_llm_gateway.core.config import RouteConfig
from trunkline_llm_gateway.core.retries import RetryBudget, pause_s
from trunkline_llm_gateway.core.routing import Candidate, models, options, ranked
from trunkline_llm_gateway.ports import Call, Emit, ProviderError, ProviderResult

_log: Final = structlog.get_logger(__name__)

_LONGEST_COMPLETION_S: Final = 120.0
_RESERVE_S: Final = 0.5
"""So long before the deadline the built-in provider takes over: an honest answer in time beats none."""
_MOST_UNDER_WAY: Final = 2_000
"""Completions at once; more are refused."""


_NOT_AGAIN: Final = frozenset({"timeout", "open"})
"""Failures after which the same provider is not asked again for the same text: it would take as long as before."""


class Gateway:
    """Has texts written: by the first provider of the route that can, from its first to its last word."""

    def __init__(
        self,
        registry: ProviderRegistry,
        *,
        spending: Spending,
        send: Callable[[str, Delta], Awaitable[None]],
        rng: Callable[[], float],
    ) -> None:
        """`send` publishes a delta to an ingress; `rng` returns a random number from 0 to 1."""
        self._registry = registry
        self._budget_guard = BudgetGuard(spending)
        self._recorder = AttemptRecorder(self._budget_guard)
        self._shared = RequestCoalescer()
        self._deltas = DeltaStreams(send, time.monotonic)
        self._rng = rng
        self._running = InFlightCompletions()
        self._retries = RetryBudget()
        self.under_way = 0

    async def complete(self, request: Complete) -> CompletionReply:
        """Write the answer, streaming it where that is asked for."""
        if self.under_way >= _MOST_UNDER_WAY:
            return Refused(code="overloaded", message="too many completions are under way", retryable=True)
        left_s = min(request.deadline_at - time.time(), _LONGEST_COMPLETION_S) if request.deadline_at else 0.0
        if request.deadline_at and left_s <= 0:
            self._recorder.refused("deadline")
            return Refused(code="deadline", message="the turn's deadline has passed already", retryable=False)
        left_s = left_s or _LONGEST_COMPLETION_S
        deadline = Deadline(asyncio.get_running_loop().time() + left_s - min(_RESERVE_S, left_s / 4))
        self.under_way += 1
        try:
            with self._running.under_way(request, deadline):
                if is_shareable(request):
                    return await self._shared.reply(request, self._registry.config.cache_entries, self._alone, deadline)
                with self._deltas.stream(request.stream_to) as stream:
                    return await self._complete(request, CompletionBuffer(stream), deadline)
        finally:
            self.under_way -= 1

    async def run(self) -> None:
        """Keep what is being written flowing to the customers; until cancelled."""
        await self._deltas.run()

    def cancel(self, message: CancelCompletion) -> None:
        """Stop what nobody waits for any more, upstream too."""
        stopped = self._running.cancel(message)
        if stopped:
            _log.info("llm.cancelled", turn=message.turn, request_id=message.request_id, reason=message.reason)

    async def _alone(self, request: Complete, deadline: Deadline) -> CompletionReply:
        return await self._complete(request, CompletionBuffer(None), deadline)

    async def _complete(self, request: Complete, buffer: CompletionBuffer, deadline: Deadline) -> CompletionReply:
        try:
            async with deadline:
                return await self._written(request, buffer, deadline)
        except ProviderError as error:
            failure = error
        except TimeoutError:
            if deadline.cancelled_for:
                self._recorder.refused("cancelled")
                return Refused(code="cancelled", message=deadline.cancelled_for, retryable=False)
            self._recorder.refused("deadline")
            failure = ProviderError("deadline", "no whole answer before the turn's deadline", retryable=False)
        if request.provider or request.tool_steps or request.purpose == "summary":
            # A certain provider is tried, or a quotation would not tell what tools have done or what was said.
            return Refused(code=failure.code, message=str(failure), retryable=failure.retryable)
        return await self._quoted(request, buffer, failure.code)

    async def _written(self, request: Complete, buffer: CompletionBuffer, deadline: Deadline) -> Completed:
        """Go round the providers until one has written the whole text."""
        self._retries.earn()
        registry = self._registry
        route = registry.config.route_of(request.route)
        may = options(registry.config, request)
        failure = ProviderError("unavailable", "no provider of the route may and can write this", retryable=False)
        if not self._budget_guard.may_spend(registry.config.budget, request.tenant):
            may = [option for option in may if option.provider.is_free]
            failure = ProviderError("budget", f"{request.tenant} has spent its budget of today", retryable=False)
        for rounds_done in itertools.count(1):
            asked = ranked(may, route, request, first_token_s=registry.first_token_s, rng=self._rng)
            if asked and asked[0].provider.kind != "extractive":
                asked = models(asked)
            may = []
            while asked:
                first = asked[0]
                try:
                    return await self._next(asked, route, request, buffer, deadline)
                except ProviderError as error:
                    failure = error
                    if error.retryable and error.code not in _NOT_AGAIN:
                        may.append(first)
            left_s = deadline.at - asyncio.get_running_loop().time()
            wait_s = pause_s(rounds_done, left_s, self._rng(), asked_s=failure.retry_after_s)
            if not may or wait_s is None or not self._retries.spend():
                break
            await asyncio.sleep(wait_s)
        raise failure

    async def _next(
        self,
        asked: list[Candidate],
        route: RouteConfig,
        request: Complete,
        buffer: CompletionBuffer,
        deadline: Deadline,
    ) -> Completed:
        """Ask the next provider, and where the route hedges and it is late, the one after it."""
        option = asked.pop(0)
        after_s = self._hedge_s(route, option)
        if after_s and asked and not buffer.is_begun:
            return await self._hedged((option, asked.pop(0)), request, buffer, deadline, after_s)
        given = buffer.begin(continues=option.provider.continues != "no")
        attempt = Attempt(option, request, buffer, given, len(buffer.text))
        try:
            written = await self._ask(attempt, buffer.add, deadline)
        except ProviderError as error:
            self._recorder.failed(attempt, error)
            raise
        except asyncio.CancelledError:
            self._recorder.stopped(attempt)
            raise
        await buffer.end()
        return self._recorder.completed(attempt, written)

    async def _hedged(
        self,
        pair: tuple[Candidate, Candidate],
        request: Complete,
        buffer: CompletionBuffer,
        deadline: Deadline,
        after_s: float,
    ) -> Completed:
        race = HedgedRequest(buffer.add)
        attempts: dict[int, Attempt] = {}

        async def run(number: int, emit: Emit) -> ProviderResult:
            attempt = attempts[number] = Attempt(pair[number], request, buffer)
            try:
                return await self._ask(attempt, emit, deadline)
            except ProviderError as error:
                self._recorder.failed(attempt, error, heard=race.winner == number)
                raise
            except asyncio.CancelledError:
                self._recorder.stopped(attempt, heard=race.winner == number)
                raise

        number, written = await race.run(run, after_s)
        await buffer.end()
        return self._recorder.completed(attempts[number], written)

    async def _ask(self, attempt: Attempt, emit: Emit, deadline: Deadline) -> ProviderResult:
        pool = self._registry.pool(attempt.option.provider.name)
        call = Call(attempt.request, attempt.option.model, attempt.given)
        return await pool.write(call, emit, until=deadline.at)

    def _hedge_s(self, route: RouteConfig, option: Candidate) -> float:
        if route.hedge_after_ms <= 0:
            return 0.0
        usual = self._registry.pool(option.provider.name).first_tokens
        slow_ms = usual.percentile(route.hedge_percentile) if route.hedge_percentile else 0.0
        return max(route.hedge_after_ms, slow_ms) / 1000

    async def _quoted(self, request: Complete, buffer: CompletionBuffer, code: str) -> Completed:
        """Answer without a model, and say so."""
        pool: ProviderClient = self._registry.last_resort
        buffer.begin(continues=False)
        attempt = Attempt(Candidate(pool.config, pool.config.kind), request, buffer)
        await buffer.add(f"{self._registry.config.notice} ")
        written = await pool.provider.write(Call(request, pool.config.kind), buffer.add)
        await buffer.end()
        return self._recorder.completed(attempt, written, degraded=code)
