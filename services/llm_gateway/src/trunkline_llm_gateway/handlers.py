"""What is ordered, and who does it.

llm.<region>.complete   Complete           -> `Gateway.complete`
llm.<region>.cancel     CancelCompletion   -> `Gateway.cancel`
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog
from prometheus_client import Counter, Histogram
from trunkline_protocols.completion import CancelCompletion, Complete, Completed, CompletionReply
from trunkline_protocols.knowledge import Refused
from trunkline_protocols.parts import Try
from trunkline_protocols.turn import Delta

from trunkline_llm_gateway.accounts import Accounts
from trunkline_llm_gateway.core.budgets import Spending
from trunkline_llm_gateway.core.citations import citations
from trunkline_llm_gateway.core.retries import RetryBudget, pause_s
from trunkline_llm_gateway.core.routing import CHARACTERS_A_TOKEN, Option, models, options, ranked
from trunkline_llm_gateway.deltas import DeltaStream
from trunkline_llm_gateway.directory import Directory
from trunkline_llm_gateway.pools import Pool
from trunkline_llm_gateway.ports import Call, Emit, ProviderError, Written
from trunkline_llm_gateway.race import Race
from trunkline_llm_gateway.running import Deadline, Running
from trunkline_llm_gateway.sharing import Shared, is_shareable
from trunkline_llm_gateway.writing import Writing

_log: Final = structlog.get_logger(__name__)
_SECONDS: Final = Histogram("trunkline_llm_request_seconds", "One completion", ["provider", "model"])
_ERRORS: Final = Counter("trunkline_llm_errors_total", "Failed tries", ["provider", "model", "code"])
_TOKENS: Final = Counter("trunkline_llm_tokens_total", "Tokens", ["provider", "model", "direction"])
_COST: Final = Counter("trunkline_llm_cost_total", "US dollars", ["provider", "model"])

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
        self._shared = Shared()
        self._send = send
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
            _ERRORS.labels("gateway", "", "deadline").inc()
            return Refused(code="deadline", message="the turn's deadline has passed already", retryable=False)
        left_s = left_s or _LONGEST_COMPLETION_S
        deadline = Deadline(asyncio.get_running_loop().time() + left_s - min(_RESERVE_S, left_s / 4))
        self.under_way += 1
        try:
            with self._running.under_way(order, deadline):
                if is_shareable(order):
                    return await self._shared.reply(order, self._directory.config.cache_entries, self._alone, deadline)
                async with _streaming(order, self._send) as stream:
                    return await self._complete(order, Writing(stream), deadline)
        finally:
            self.under_way -= 1

    def cancel(self, message: CancelCompletion) -> None:
        """Stop what nobody waits for any more, upstream too."""
        stopped = self._running.cancel(message)
        if stopped:
            _log.info("llm.cancelled", turn=message.turn, request=message.request, reason=message.reason)

    async def _alone(self, order: Complete, deadline: Deadline) -> CompletionReply:
        return await self._complete(order, Writing(None), deadline)

    async def _complete(self, order: Complete, writing: Writing, deadline: Deadline) -> CompletionReply:
        try:
            async with deadline.kept():
                return await self._written(order, writing, deadline)
        except ProviderError as error:
            failure = error
        except TimeoutError:
            if deadline.cancelled_for:
                _ERRORS.labels("gateway", "", "cancelled").inc()
                return Refused(code="cancelled", message=deadline.cancelled_for, retryable=False)
            _ERRORS.labels("gateway", "", "deadline").inc()
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
                    return await self._next(asked, order, writing, deadline)
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

    async def _next(self, asked: list[Option], order: Complete, writing: Writing, deadline: Deadline) -> Completed:
        """Ask the next provider, and where the route hedges and it is late, the one after it."""
        option = asked.pop(0)
        after_s = self._hedge_s(order, option)
        if after_s and asked and not writing.is_begun:
            return await self._hedged((option, asked.pop(0)), order, writing, deadline, after_s)
        given = writing.begin(continues=option.provider.continues != "no")
        started = time.perf_counter()
        try:
            written = await self._ask(option, order, given, writing.add, deadline)
        except ProviderError as error:
            self._failed(option, order, error, writing, started, given)
            raise
        await writing.end()
        return self._completed(option, order, writing, written, started, given)

    async def _hedged(
        self, pair: tuple[Option, Option], order: Complete, writing: Writing, deadline: Deadline, after_s: float
    ) -> Completed:
        started = time.perf_counter()
        race = Race(writing.add)

        def runner(option: Option) -> Callable[[Emit], Awaitable[Written]]:
            async def run(emit: Emit) -> Written:
                try:
                    return await self._ask(option, order, "", emit, deadline)
                except ProviderError as error:
                    self._failed(option, order, error, writing, started, "")
                    raise

            return run

        number, written = await race.run(runner(pair[0]), runner(pair[1]), after_s)
        await writing.end()
        return self._completed(pair[number], order, writing, written, started, "")

    async def _ask(self, option: Option, order: Complete, given: str, emit: Emit, deadline: Deadline) -> Written:
        pool = self._directory.pool(option.provider.name)
        return await pool.write(Call(order, option.model, given), emit, until=deadline.at)

    def _hedge_s(self, order: Complete, option: Option) -> float:
        route = self._directory.config.route_of(order.route)
        if route.hedge_after_ms <= 0:
            return 0.0
        usual = self._directory.pool(option.provider.name).first_tokens
        slow_ms = usual.percentile(route.hedge_percentile) if route.hedge_percentile else 0.0
        return max(route.hedge_after_ms, slow_ms) / 1000

    async def _quoted(self, order: Complete, writing: Writing, code: str) -> Completed:
        """Answer without a model, and say so."""
        pool: Pool = self._directory.last_resort
        writing.begin(continues=False)
        started = time.perf_counter()
        await writing.add(f"{self._directory.config.notice} ")
        written = await pool.provider.write(Call(order, pool.config.kind), writing.add)
        await writing.end()
        option = Option(pool.config, written.model)
        return self._completed(option, order, writing, written, started, "", degraded=code)

    # -- what came of it ---

    def _failed(
        self, option: Option, order: Complete, error: ProviderError, writing: Writing, started: float, given: str
    ) -> None:
        _ERRORS.labels(option.provider.name, option.model, error.code).inc()
        _log.warning("llm.failed", provider=option.provider.name, code=error.code, reason=str(error)[:300])
        lost = option.provider.cost(0, len(writing.text) // CHARACTERS_A_TOKEN)
        self._accounts.charge(order.tenant, lost)
        writing.tries.append(_try(option, error.code, writing, started, given, lost))

    def _completed(
        self,
        option: Option,
        order: Complete,
        writing: Writing,
        written: Written,
        started: float,
        given: str,
        *,
        degraded: str = "",
    ) -> Completed:
        name, text = option.provider.name, writing.text
        _SECONDS.labels(name, written.model).observe(time.perf_counter() - started)
        _TOKENS.labels(name, written.model, "input").inc(written.usage.input_tokens)
        _TOKENS.labels(name, written.model, "output").inc(written.usage.output_tokens)
        _COST.labels(name, written.model).inc(written.usage.cost)
        self._accounts.charge(order.tenant, written.usage.cost)
        answered = _try(option, "answered", writing, started, given, written.usage.cost)
        tries = [*writing.tries, answered] if writing.tries else []
        return Completed(
            text=text,
            provider=name,
            model=written.model,
            citations=citations(text, order.passages) if written.citations is None else written.citations,
            abstained=written.abstained,
            usage=written.usage,
            first_token_ms=written.first_token_ms,
            model_ms=written.model_ms,
            stop_reason=written.stop_reason,
            tool_calls=written.tool_calls,
            tries=tries,
            degraded=degraded,
        )


def _try(option: Option, outcome: str, writing: Writing, started: float, given: str, cost: float) -> Try:
    return Try(
        provider=option.provider.name,
        model=option.model,
        outcome=outcome,
        characters=len(writing.text),
        continued=bool(given),
        cost=cost,
        ms=round((time.perf_counter() - started) * 1000, 3),
    )


@asynccontextmanager
async def _streaming(
    order: Complete, send: Callable[[str, Delta], Awaitable[None]]
) -> AsyncIterator[DeltaStream | None]:
    target = order.stream_to
    if target is None or not target.ingress:
        yield None
        return

    async def to_ingress(delta: Delta) -> None:
        await send(target.ingress, delta)

    stream = DeltaStream(target, to_ingress, time.monotonic)
    async with asyncio.TaskGroup() as tasks:
        flushing = tasks.create_task(stream.run())
        try:
            yield stream
        finally:
            flushing.cancel()
