"""A provider as the gateway uses it: breakers of its models, a limit that follows its latency, a bounded waiting room.

A call takes three steps in, and the same back: leave from the breaker, a place under the limit, the provider. It is
judged when it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Final

from prometheus_client import Gauge, Histogram
from trunkline_chassis.latency import RecentLatency

from trunkline_llm_gateway.core.breaker import STATE_NUMBER, Breaker, BreakerPolicy, State, Verdict
from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.core.limits import ConcurrencyLimit
from trunkline_llm_gateway.ports import Call, Emit, Provider, ProviderError, ProviderResult

_BREAKER: Final = Gauge("trunkline_llm_breaker_state", "0 closed, 1 half open, 2 open", ["provider", "model"])
_LIMIT: Final = Gauge("trunkline_llm_concurrency_limit", "Calls that a provider is given at once", ["provider"])
_IN_FLIGHT: Final = Gauge("trunkline_llm_in_flight", "Calls that a provider works on", ["provider"])
_WAITING: Final = Gauge("trunkline_llm_waiting", "Calls that wait for a provider's free place", ["provider"])
_FIRST_TOKEN: Final = Histogram("trunkline_first_token_seconds", "Call to first piece", ["provider"])

_NOT_ITS_FAULT: Final = frozenset({"request", "overloaded", "open"})
_SIGNS_OF_LOAD: Final = frozenset({"timeout", "status"})
_SMOOTHING: Final = 0.1


class ProviderClient:
    """One provider."""

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
        self.first_tokens = RecentLatency()
        self._rng = rng
        self._policy = policy or BreakerPolicy()
        self._breakers: dict[str, Breaker] = {}
        self._in_flight = 0
        self._ended = asyncio.Event()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._call_s = 0.0
        self._first_token_metric = _FIRST_TOKEN.labels(config.name)
        _LIMIT.labels(config.name).set_function(lambda: self.limit.value)
        _IN_FLIGHT.labels(config.name).set_function(lambda: self._in_flight)
        _WAITING.labels(config.name).set_function(lambda: len(self._waiting))

    @property
    def name(self) -> str:
        """The provider's name."""
        return self.config.name

    def states(self) -> dict[str, State]:
        """The breakers' states by model."""
        now = asyncio.get_running_loop().time()
        return {model: breaker.state(now) for model, breaker in self._breakers.items()}

    async def write(self, call: Call, emit: Emit, *, until: float) -> ProviderResult:
        """Have a text written; raises `ProviderError`. `until` is the loop's time at which nobody waits any more."""
        loop = asyncio.get_running_loop()
        breaker = self._breaker(call.model)
        ticket = breaker.admit(loop.time())
        if ticket is None:
            raise ProviderError("open", f"{self.name}: rests after failures")
        verdict: Verdict = "neutral"
        retry_after_s = 0.0
        try:
            await self._enter(until)
            try:
                written = await self._call(call, emit, loop)
                verdict = "good"
            finally:
                self._leave()
        except ProviderError as error:
            verdict = "neutral" if error.code in _NOT_ITS_FAULT else "bad"
            retry_after_s = error.retry_after_s
            if error.code in _SIGNS_OF_LOAD:
                self.limit.refused()
            raise
        finally:
            breaker.settle(ticket, verdict, loop.time(), retry_after_s=retry_after_s)
        return written

    async def close(self) -> None:
        """Give connections free."""
        await self.provider.close()

    async def retire(self) -> None:
        """Give connections free when the calls under way have ended, or could have."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.total_timeout_s):
                while self._in_flight:
                    self._ended.clear()
                    await self._ended.wait()
        await self.close()

    async def _call(self, call: Call, emit: Emit, loop: asyncio.AbstractEventLoop) -> ProviderResult:
        started = loop.time()
        is_first = True

        async def watch(piece: str) -> None:
            nonlocal is_first
            if is_first:
                is_first = False
                self._saw_first_token(loop.time() - started)
            await emit(piece)

        written = await self.provider.write(call, watch)
        if is_first and not written.tool_calls and not call.written:
            # A text that was cut behind its last word has no continuation, and that is none's fault.
            raise ProviderError("empty", f"{self.name}: an answer without text")
        self._call_s += _SMOOTHING * (loop.time() - started - self._call_s)
        return written

    def _saw_first_token(self, after_s: float) -> None:
        self.limit.answered(after_s, self._in_flight)
        self.first_tokens.add(after_s * 1000)
        self._first_token_metric.observe(after_s)

    def _breaker(self, model: str) -> Breaker:
        breaker = self._breakers.get(model)
        if breaker is None:
            breaker = self._breakers[model] = Breaker(self._policy, self._rng)
            clock = asyncio.get_running_loop().time
            watched = breaker
            _BREAKER.labels(self.name, model).set_function(lambda: STATE_NUMBER[watched.state(clock())])
        return breaker

    # -- places ---

    async def _enter(self, until: float) -> None:
        """Take a place, waiting for one where that makes sense."""
        if self._in_flight < self.limit.value and not self._waiting:
            self._in_flight += 1
            return
        loop = asyncio.get_running_loop()
        wait_s = self._call_s * (len(self._waiting) + 1) / self.limit.value
        if len(self._waiting) >= self.config.max_waiting or loop.time() + wait_s > until:
            raise ProviderError("overloaded", f"{self.name}: {len(self._waiting)} calls wait already")
        place = loop.create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self.config.first_token_timeout_s):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                self._leave()
            if isinstance(error, TimeoutError):
                raise ProviderError("overloaded", f"{self.name}: no free place in time") from error
            raise

    def _leave(self) -> None:
        self._in_flight -= 1
        self._ended.set()
        while self._waiting and self._in_flight < self.limit.value:
            place = self._waiting.popleft()
            if not place.done():
                self._in_flight += 1
                place.set_result(None)
