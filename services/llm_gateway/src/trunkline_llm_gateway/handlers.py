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

from trunkline_llm_gateway.accounts import Accounts
from trunkline_llm_gateway.config import RouteConfig
from trunkline_llm_gateway.core.budgets import Spending
from trunkline_llm_gateway.core.retries import RetryBudget, pause_s
from trunkline_llm_gateway.core.routing import Option, models, options, ranked
from trunkline_llm_gateway.deltas import DeltaStreams
from trunkline_llm_gateway.directory import Directory
from trunkline_llm_gateway.outcomes import Attempt, Outcomes
from trunkline_llm_gateway.pools import Pool
from trunkline_llm_gateway.ports import Call, Emit, ProviderError, Written
from trunkline_llm_gateway.race import Race
from trunkline_llm_gateway.running import Deadline, Running
from trunkline_llm_gateway.sharing import Shared, is_shareable
from trunkline_llm_gateway.writing import Writing

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
        directory: Directory,
        *,
        spending: Spending,
        send: Callable[[str, Delta], Awaitable[None]],
        draw: Callable[[], float],
    ) -> None:
        """`send` publishes a delta to an ingress; `draw` returns a random number from 0 to 1."""
        self._directory = directory
        self._accounts = Accounts(spending)
        self._outcomes = Outcomes(self._accounts)
        self._shared = Shared()
        self._deltas = DeltaStreams(send, time.monotonic)
        self._draw = draw
        self._running = Running()
        self._retries = RetryBudget()
        self.under_way = 0

    async def complete(self, order: Complete) -> CompletionReply:
        """Write the answer, streaming it where that is asked for."""
        if self.under_way >= _MOST_UNDER_WAY:
            return Refused(code="overloaded", message="too many completions are under way", retryable=True)
        left_s = min(order.deadline_at - time.time(), _LONGEST_COMPLETION_S) if order.deadline_at else 0.0
        if order.deadline_at and left_s <= 0:
            self._outcomes.refused("deadline")
            return Refused(code="deadline", message="the turn's deadline has passed already", retryable=False)
        left_s = left_s or _LONGEST_COMPLETION_S
        deadline = Deadline(asyncio.get_running_loop().time() + left_s - min(_RESERVE_S, left_s / 4))
        self.under_way += 1
        try:
            with self._running.under_way(order, deadline):
                if is_shareable(order):
                    return await self._shared.reply(order, self._directory.config.cache_entries, self._alone, deadline)
                with self._deltas.stream(order.stream_to) as stream:
                    return await self._complete(order, Writing(stream), deadline)
        finally:
            self.under_way -= 1

    async def run(self) -> None:
        """Keep what is being written flowing to the customers; until cancelled."""
        await self._deltas.run()

    def cancel(self, message: CancelCompletion) -> None:
        """Stop what nobody waits for any more, upstream too."""
        stopped = self._running.cancel(message)
        if stopped:
            _log.info("llm.cancelled", turn=message.turn, request=message.request, reason=message.reason)

    async def _alone(self, order: Complete, deadline: Deadline) -> CompletionReply:
        return await self._complete(order, Writing(None), deadline)

    async def _complete(self, order: Complete, writing: Writing, deadline: Deadline) -> CompletionReply:
        try:
            async with deadline:
                return await self._written(order, writing, deadline)
        except ProviderError as error:
            failure = error
        except TimeoutError:
            if deadline.cancelled_for:
                self._outcomes.refused("cancelled")
                return Refused(code="cancelled", message=deadline.cancelled_for, retryable=False)
            self._outcomes.refused("deadline")
            failure = ProviderError("deadline", "no whole answer before the turn's deadline", retryable=False)
        if order.provider or order.tool_steps or order.purpose == "summary":
            # A certain provider is tried, or a quotation would not tell what tools have done or what was said.
            return Refused(code=failure.code, message=str(failure), retryable=failure.retryable)
        return await self._quoted(order, writing, failure.code)

    async def _written(self, order: Complete, writing: Writing, deadline: Deadline) -> Completed:
        """Go round the providers until one has written the whole text."""
        self._retries.earn()
        directory = self._directory
        route = directory.config.route_of(order.route)
        may = options(directory.config, order)
        failure = ProviderError("unavailable", "no provider of the route may and can write this", retryable=False)
        if not self._accounts.may_spend(directory.config.budget, order.tenant):
            may = [option for option in may if option.provider.is_free]
            failure = ProviderError("budget", f"{order.tenant} has spent its budget of today", retryable=False)
        for rounds_done in itertools.count(1):
            asked = ranked(may, route, order, first_token_s=directory.first_token_s, draw=self._draw)
            if asked and asked[0].provider.kind != "extractive":
                asked = models(asked)
            may = []
            while asked:
                first = asked[0]
                try:
                    return await self._next(asked, route, order, writing, deadline)
                except ProviderError as error:
                    failure = error
                    if error.retryable and error.code not in _NOT_AGAIN:
                        may.append(first)
            left_s = deadline.at - asyncio.get_running_loop().time()
            wait_s = pause_s(rounds_done, left_s, self._draw(), asked_s=failure.rest_s)
            if not may or wait_s is None or not self._retries.spend():
                break
            await asyncio.sleep(wait_s)
        raise failure

    async def _next(
        self, asked: list[Option], route: RouteConfig, order: Complete, writing: Writing, deadline: Deadline
    ) -> Completed:
        """Ask the next provider, and where the route hedges and it is late, the one after it."""
        option = asked.pop(0)
        after_s = self._hedge_s(route, option)
        if after_s and asked and not writing.is_begun:
            return await self._hedged((option, asked.pop(0)), order, writing, deadline, after_s)
        given = writing.begin(continues=option.provider.continues != "no")
        attempt = Attempt(option, order, writing, given, len(writing.text))
        try:
            written = await self._ask(attempt, writing.add, deadline)
        except ProviderError as error:
            self._outcomes.failed(attempt, error)
            raise
        except asyncio.CancelledError:
            self._outcomes.stopped(attempt)
            raise
        await writing.end()
        return self._outcomes.completed(attempt, written)

    async def _hedged(
        self, pair: tuple[Option, Option], order: Complete, writing: Writing, deadline: Deadline, after_s: float
    ) -> Completed:
        race = Race(writing.add)
        attempts: dict[int, Attempt] = {}

        async def run(number: int, emit: Emit) -> Written:
            attempt = attempts[number] = Attempt(pair[number], order, writing)
            try:
                return await self._ask(attempt, emit, deadline)
            except ProviderError as error:
                self._outcomes.failed(attempt, error, heard=race.winner == number)
                raise
            except asyncio.CancelledError:
                self._outcomes.stopped(attempt, heard=race.winner == number)
                raise

        number, written = await race.run(run, after_s)
        await writing.end()
        return self._outcomes.completed(attempts[number], written)

    async def _ask(self, attempt: Attempt, emit: Emit, deadline: Deadline) -> Written:
        pool = self._directory.pool(attempt.option.provider.name)
        call = Call(attempt.order, attempt.option.model, attempt.given)
        return await pool.write(call, emit, until=deadline.at)

    def _hedge_s(self, route: RouteConfig, option: Option) -> float:
        if route.hedge_after_ms <= 0:
            return 0.0
        usual = self._directory.pool(option.provider.name).first_tokens
        slow_ms = usual.percentile(route.hedge_percentile) if route.hedge_percentile else 0.0
        return max(route.hedge_after_ms, slow_ms) / 1000

    async def _quoted(self, order: Complete, writing: Writing, code: str) -> Completed:
        """Answer without a model, and say so."""
        pool: Pool = self._directory.last_resort
        writing.begin(continues=False)
        attempt = Attempt(Option(pool.config, pool.config.kind), order, writing)
        await writing.add(f"{self._directory.config.notice} ")
        written = await pool.provider.write(Call(order, pool.config.kind), writing.add)
        await writing.end()
        return self._outcomes.completed(attempt, written, degraded=code)
