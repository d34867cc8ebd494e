"""Client of one provider: a circuit breaker per model, an adaptive concurrency limit and a bounded queue.

A call passes the breaker, acquires a permit of the limit and calls the provider; the breaker records its outcome when
it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
from prometheus_client import Gauge, Histogram
from trunkline_chassis.latency import RecentLatency

from trunkline_llm_gateway.core.answer_check import FAULT_TEXTS, find_fault, kept_calls
from trunkline_llm_gateway.core.breaker import STATE_NUMBER, Breaker, BreakerPolicy, CallOutcome, State
from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.core.limits import ConcurrencyLimit
from trunkline_llm_gateway.ports import Call, Emit, Provider, ProviderError, ProviderResult

_BREAKER: Final = Gauge(
    "trunkline_llm_breaker_state", "Circuit breaker state: 0 closed, 1 half open, 2 open", ["provider", "model"]
)
_LIMIT: Final = Gauge("trunkline_llm_concurrency_limit", "Maximum concurrent calls to a provider", ["provider"])
_IN_FLIGHT: Final = Gauge("trunkline_llm_in_flight", "Calls in flight at a provider", ["provider"])
_WAITING: Final = Gauge("trunkline_llm_waiting", "Calls queued for a provider", ["provider"])
_FIRST_TOKEN: Final = Histogram("trunkline_first_token_seconds", "Time from call to first token", ["provider"])

_IGNORED_CODES: Final = frozenset({"request", "content_filter", "overloaded", "open"})
"""Failures that are not the provider's fault."""
_OVERLOAD_CODES: Final = frozenset({"timeout", "status"})
"""Failures that lower the concurrency limit."""
_SMOOTHING: Final = 0.1


class _Waiter(NamedTuple):
    admitted: asyncio.Future[None]
    since: float


class ProviderClient:
    """Calls one provider within its limits."""

    def __init__(
        self,
        provider: Provider,
        config: ProviderConfig,
        rng: Callable[[], float],
        *,
        policy: BreakerPolicy | None = None,
    ) -> None:
        """`rng` returns a random number from 0 to 1."""
        self.provider = provider
        self.config = config
        self.limit = ConcurrencyLimit(config.max_concurrency)
        self.first_token_latency = RecentLatency()
        self._rng = rng
        self._policy = policy or BreakerPolicy()
        self._breakers: dict[str, Breaker] = {}
        self._in_flight = 0
        self._call_ended = asyncio.Event()
        self._waiters: deque[_Waiter] = deque()
        self._mean_call_s = 0.0
        self._first_token_metric = _FIRST_TOKEN.labels(config.name)
        _LIMIT.labels(config.name).set_function(lambda: self.limit.value)
        _IN_FLIGHT.labels(config.name).set_function(lambda: self._in_flight)
        _WAITING.labels(config.name).set_function(lambda: len(self._waiters))

    @property
    def name(self) -> str:
        """Name of the provider in the configuration."""
        return self.config.name

    @property
    def in_flight(self) -> int:
        """Number of calls at the provider."""
        return self._in_flight

    @property
    def oldest_wait_s(self) -> float:
        """Time for which the oldest call has waited for a permit, in seconds."""
        now = asyncio.get_running_loop().time()
        return next((now - waiter.since for waiter in self._waiters if not waiter.admitted.done()), 0.0)

    def states(self) -> dict[str, State]:
        """Return the circuit breakers' states by model."""
        now = asyncio.get_running_loop().time()
        return {model: breaker.state(now) for model, breaker in self._breakers.items()}

    async def complete(self, call: Call, emit: Emit, *, deadline: float) -> ProviderResult:
        """Call the provider; raise `ProviderError` if that fails. `deadline` is in the event loop's time."""
        loop = asyncio.get_running_loop()
        breaker = self._breaker(call.model)
        ticket = breaker.admit(loop.time())
        if ticket is None:
            raise ProviderError("open", f"{self.name}: circuit breaker open")
        outcome: CallOutcome = "ignored"
        retry_after_s = 0.0
        try:
            await self._acquire_permit(deadline)
            try:
                result = await self._call(call, emit, loop)
                outcome = "success"
            finally:
                self._release_permit()
        except ProviderError as error:
            outcome = "ignored" if error.code in _IGNORED_CODES else "failure"
            retry_after_s = error.retry_after_s
            if error.code in _OVERLOAD_CODES:
                self.limit.record_overload()
            raise
        finally:
            breaker.settle(ticket, outcome, loop.time(), retry_after_s=retry_after_s)
        return result

    async def close(self) -> None:
        """Close connections."""
        await self.provider.close()

    async def retire(self) -> None:
        """Close connections when the calls in flight have ended, at the latest after the total timeout."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.total_timeout_s):
                while self._in_flight:
                    self._call_ended.clear()
                    await self._call_ended.wait()
        await self.close()

    async def _call(self, call: Call, emit: Emit, loop: asyncio.AbstractEventLoop) -> ProviderResult:
        started = loop.time()
        is_first = True
        has_text = False

        async def observe(piece: str) -> None:
            nonlocal is_first, has_text
            if is_first:
                is_first = False
                self._record_first_token(loop.time() - started)
            has_text = has_text or not piece.isspace()
            await emit(piece)

        result = await self.provider.complete(call, observe)
        self._check(call, result, has_text=has_text)
        self._mean_call_s += _SMOOTHING * (loop.time() - started - self._mean_call_s)
        calls = kept_calls(result.tool_calls, call.request)
        if len(calls) == len(result.tool_calls):
            return result
        return msgspec.structs.replace(result, tool_calls=calls, oddities=[*result.oddities, "unoffered_call"])

    def _check(self, call: Call, result: ProviderResult, *, has_text: bool) -> None:
        """Raise `ProviderError` if the answer does not count; it is paid for all the same."""
        fault = find_fault(
            result.stop_reason, result.tool_calls, call.request, has_text=has_text, is_continued=bool(call.prefix)
        )
        if fault is not None:
            is_retryable = fault not in {"content_filter", "cut_call"}
            error = ProviderError(fault, f"{self.name}: {FAULT_TEXTS[fault]}", retryable=is_retryable)
            error.usage = result.usage
            raise error

    def _record_first_token(self, latency_s: float) -> None:
        self.limit.record_latency(latency_s, self._in_flight)
        self.first_token_latency.add(latency_s * 1000)
        self._first_token_metric.observe(latency_s)

    def _breaker(self, model: str) -> Breaker:
        breaker = self._breakers.get(model)
        if breaker is None:
            breaker = self._breakers[model] = Breaker(self._policy, self._rng)
            clock = asyncio.get_running_loop().time
            observed = breaker
            _BREAKER.labels(self.name, model).set_function(lambda: STATE_NUMBER[observed.state(clock())])
        return breaker

    # -- permits ---

    async def _acquire_permit(self, deadline: float) -> None:
        """Acquire a permit; queue for one unless the queue is full or the expected wait exceeds the deadline."""
        if self._in_flight < self.limit.value and not self._waiters:
            self._in_flight += 1
            return
        loop = asyncio.get_running_loop()
        expected_wait_s = self._mean_call_s * (len(self._waiters) + 1) / self.limit.value
        if len(self._waiters) >= self.config.max_waiting or loop.time() + expected_wait_s > deadline:
            raise ProviderError("overloaded", f"{self.name}: queue full or too slow, {len(self._waiters)} calls queued")
        waiter = loop.create_future()
        self._waiters.append(_Waiter(waiter, loop.time()))
        try:
            async with asyncio.timeout(self.config.first_token_timeout_s):
                await waiter
        except BaseException as error:  # cancellation too: a permit granted at the same moment is passed on
            if waiter.done() and not waiter.cancelled():
                self._release_permit()
            if isinstance(error, TimeoutError):
                raise ProviderError("overloaded", f"{self.name}: timed out in the queue") from error
            raise

    def _release_permit(self) -> None:
        self._in_flight -= 1
        self._call_ended.set()
        while self._waiters and self._in_flight < self.limit.value:
            waiter = self._waiters.popleft().admitted
            if not waiter.done():
                self._in_flight += 1
                waiter.set_result(None)
