"""Use case of the gateway: admit a completion, run it through the providers, fall back if all of them fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog
from trunkline_chassis.residency import BorderGuard
from trunkline_protocols.completion import CancelCompletion, Complete, CompletionReply
from trunkline_protocols.refusal import Refused

from trunkline_llm_gateway.application.attempt import CompletionJob
from trunkline_llm_gateway.application.attempt_recorder import AttemptRecorder
from trunkline_llm_gateway.application.attempt_runner import AttemptRunner
from trunkline_llm_gateway.application.budget_guard import BudgetGuard
from trunkline_llm_gateway.application.completion_buffer import CompletionBuffer
from trunkline_llm_gateway.application.deltas import DeltaStreams
from trunkline_llm_gateway.application.failover import Failover
from trunkline_llm_gateway.application.in_flight import Deadline, InFlightCompletions
from trunkline_llm_gateway.application.provider_registry import ProviderRegistry
from trunkline_llm_gateway.application.request_coalescer import RequestCoalescer, is_shareable
from trunkline_llm_gateway.core.budgets import Spending
from trunkline_llm_gateway.ports import ProviderError, SendDelta

_log: Final = structlog.get_logger(__name__)

_MAX_COMPLETION_S: Final = 120.0
_FALLBACK_RESERVE_S: Final = 0.5
"""Time before the deadline at which the fallback takes over: an honest answer in time is better than none."""
_MAX_IN_FLIGHT: Final = 2_000
"""Concurrent completions; further requests are refused."""


class Gateway:
    """Completes requests with the first provider of the route that finishes the whole text."""

    def __init__(
        self,
        registry: ProviderRegistry,
        *,
        spending: Spending,
        send: SendDelta,
        rng: Callable[[], float],
        borders: BorderGuard | None = None,
    ) -> None:
        """`rng` returns a random number from 0 to 1; without `borders`, nothing is recorded, as in a command."""
        self._registry = registry
        budget_guard = BudgetGuard(spending)
        self._recorder = AttemptRecorder(budget_guard)
        self._runner = AttemptRunner(registry, self._recorder)
        self._failover = Failover(registry, self._runner, budget_guard, rng, borders)
        self._coalescer = RequestCoalescer()
        self._deltas = DeltaStreams(send, time.monotonic)
        self._cancellable = InFlightCompletions()
        self._in_flight = 0

    async def complete(self, request: Complete) -> CompletionReply:
        """Complete a request, streaming deltas if it names a target."""
        if self._in_flight >= _MAX_IN_FLIGHT:
            return Refused(code="overloaded", message="too many completions in flight", retryable=True)
        remaining_s = _remaining_s(request)
        if remaining_s <= 0:
            self._recorder.record_rejection("deadline")
            return Refused(code="deadline", message="deadline already exceeded", retryable=False)
        reserve_s = min(_FALLBACK_RESERVE_S, remaining_s / 4)
        deadline = Deadline(asyncio.get_running_loop().time() + remaining_s - reserve_s)
        self._in_flight += 1
        try:
            with self._cancellable.register(request, deadline):
                if is_shareable(request):
                    max_cached = self._registry.config.cache_entries
                    return await self._coalescer.reply(request, max_cached, self._complete_unstreamed, deadline)
                with self._deltas.open(request.stream_to) as stream:
                    return await self._complete(CompletionJob(request, CompletionBuffer(stream), deadline))
        finally:
            self._in_flight -= 1

    async def run(self) -> None:
        """Flush the deltas of all streams until cancelled."""
        await self._deltas.run()

    def cancel(self, message: CancelCompletion) -> None:
        """Cancel the named completions, including their upstream calls."""
        cancelled = self._cancellable.cancel(message)
        if cancelled:
            _log.info("completion.cancelled", turn=message.turn, request_id=message.request_id, reason=message.reason)

    async def _complete_unstreamed(self, request: Complete, deadline: Deadline) -> CompletionReply:
        return await self._complete(CompletionJob(request, CompletionBuffer(None), deadline))

    async def _complete(self, job: CompletionJob) -> CompletionReply:
        """Run the failover within the deadline; fall back if it fails, unless a fallback is of no use."""
        deadline = job.deadline
        try:
            async with deadline:
                return await self._failover.complete(job)
        except ProviderError as error:
            failure = error
        except TimeoutError:
            if deadline.cancelled_for:
                self._recorder.record_rejection("cancelled")
                return Refused(code="cancelled", message=deadline.cancelled_for, retryable=False)
            self._recorder.record_rejection("deadline")
            failure = ProviderError("deadline", "no complete answer before the deadline", retryable=False)
        if not _allows_fallback(job.request):
            return Refused(code=failure.code, message=str(failure), retryable=failure.retryable)
        return await self._runner.run_fallback(job, failure.code)


def _remaining_s(request: Complete) -> float:
    """Return the seconds until the deadline, by default and at most the longest completion."""
    if request.timeout_s:
        return min(request.timeout_s, _MAX_COMPLETION_S)
    if not request.deadline_at:
        return _MAX_COMPLETION_S
    return min(request.deadline_at - time.time(), _MAX_COMPLETION_S)


def _allows_fallback(request: Complete) -> bool:
    """Return False if one provider was requested, or if quotations cannot replace tool results or a summary."""
    return not (request.provider or request.tool_steps or request.purpose == "summary")
