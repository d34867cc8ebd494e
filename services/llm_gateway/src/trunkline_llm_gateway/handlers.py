"""What is ordered, and who does it.

llm.<region>.complete   Complete  -> `Gateway.complete`
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import structlog
from prometheus_client import Counter, Histogram
from trunkline_protocols.completion import Complete, Completed, CompletionReply
from trunkline_protocols.knowledge import Refused
from trunkline_protocols.turn import Delta

from trunkline_llm_gateway.deltas import DeltaStream
from trunkline_llm_gateway.ports import Emit, Provider, ProviderError, Written

_log: Final = structlog.get_logger(__name__)
_SECONDS: Final = Histogram("trunkline_llm_request_seconds", "One completion", ["provider", "model"])
_FIRST_TOKEN: Final = Histogram("trunkline_first_token_seconds", "Order to first piece", ["provider"])
_ERRORS: Final = Counter("trunkline_llm_errors_total", "Failed completions", ["provider", "code"])
_TOKENS: Final = Counter("trunkline_llm_tokens_total", "Tokens", ["provider", "model", "direction"])
_COST: Final = Counter("trunkline_llm_cost_total", "US dollars", ["provider", "model"])

_LONGEST_COMPLETION_S: Final = 120.0
_WAITING_ROOM: Final = 1_000
"""Completions that may wait for a free place; more are refused."""


class Gateway:
    """Has texts written: by the first provider of the route that can."""

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        max_concurrency: int,
        send: Callable[[str, Delta], Awaitable[None]],
    ) -> None:
        """`providers` in the order in which they are tried; `send` publishes a delta to an ingress."""
        self._providers = list(providers)
        self._send = send
        self._places = asyncio.Semaphore(max_concurrency)
        self._waiting = 0

    async def complete(self, order: Complete) -> CompletionReply:
        """Write the answer, streaming it where that is asked for."""
        if self._waiting >= _WAITING_ROOM:
            return Refused(code="overloaded", message="too many completions are waiting", retryable=True)
        left_s = order.deadline_at - time.time() if order.deadline_at else _LONGEST_COMPLETION_S
        try:
            async with asyncio.timeout(max(0.0, left_s)), self._place(), self._stream(order) as stream:
                return await self._first_that_can(order, stream)
        except TimeoutError:
            _ERRORS.labels("gateway", "deadline").inc()
            return Refused(code="deadline", message="no answer before the turn's deadline", retryable=False)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()

    def _stream(self, order: Complete) -> AbstractAsyncContextManager[DeltaStream | None]:
        return _streaming(order, self._send)

    async def _first_that_can(self, order: Complete, stream: DeltaStream | None) -> CompletionReply:
        failure = ProviderError("status", "no provider is configured", retryable=False)
        for provider in self._providers:
            try:
                return await self._by(provider, order, stream)
            except ProviderError as error:
                failure = error
                _ERRORS.labels(provider.name, error.code).inc()
                _log.warning("llm.failed", provider=provider.name, code=error.code, reason=str(error)[:300])
                if stream is not None:
                    stream.start_anew()
        return Refused(code=failure.code, message=str(failure), retryable=failure.retryable)

    async def _by(self, provider: Provider, order: Complete, stream: DeltaStream | None) -> Completed:
        started = time.perf_counter()
        written = await provider.write(order, _emitter(provider.name, started, stream))
        if stream is not None:
            await stream.flush()
        _measure(provider.name, written, time.perf_counter() - started)
        return Completed(
            text=written.text,
            provider=provider.name,
            model=written.model,
            citations=written.citations,
            abstained=written.abstained,
            usage=written.usage,
            first_token_ms=written.first_token_ms,
            model_ms=written.model_ms,
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


def _emitter(provider: str, started: float, stream: DeltaStream | None) -> Emit:
    first = True

    async def emit(piece: str) -> None:
        nonlocal first
        if first:
            first = False
            _FIRST_TOKEN.labels(provider).observe(time.perf_counter() - started)
        if stream is not None:
            await stream.add(piece)

    return emit


def _measure(provider: str, written: Written, seconds: float) -> None:
    _SECONDS.labels(provider, written.model).observe(seconds)
    _TOKENS.labels(provider, written.model, "input").inc(written.usage.input_tokens)
    _TOKENS.labels(provider, written.model, "output").inc(written.usage.output_tokens)
    _COST.labels(provider, written.model).inc(written.usage.cost)
