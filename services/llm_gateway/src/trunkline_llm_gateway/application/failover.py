"""Failover: runs a completion through the providers of its route, in rounds, until one finishes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from trunkline_chassis.residency import BorderGuard
from trunkline_protocols.completion import Complete, Completed

from trunkline_llm_gateway.application.attempt import CompletionJob
from trunkline_llm_gateway.application.attempt_runner import AttemptRunner
from trunkline_llm_gateway.application.budget_guard import BudgetGuard
from trunkline_llm_gateway.application.provider_registry import ProviderRegistry
from trunkline_llm_gateway.core.config import RouteConfig
from trunkline_llm_gateway.core.retries import RetryBudget, retry_delay_s
from trunkline_llm_gateway.core.routing import Candidate, drop_quoting, eligible, excluded, rank
from trunkline_llm_gateway.ports import ProviderError

_NOT_RETRIED: Final = frozenset({"timeout", "open"})
"""Failures after which the same provider is not retried: it would fail again, or take as long again."""


class FailedAttempt(msgspec.Struct, frozen=True):
    """A candidate of a round and why it failed; for a hedged pair, the first of the two."""

    candidate: Candidate
    error: ProviderError

    @property
    def is_retryable(self) -> bool:
        """Return whether the candidate is part of the next round."""
        return self.error.retryable and self.error.code not in _NOT_RETRIED


class Failover:
    """Selects candidates, runs them in rounds, and waits between rounds."""

    def __init__(
        self,
        registry: ProviderRegistry,
        runner: AttemptRunner,
        budget_guard: BudgetGuard,
        rng: Callable[[], float],
        borders: BorderGuard | None,
    ) -> None:
        """`rng` returns a random number from 0 to 1; `borders` record refused providers, if they are given."""
        self._borders = borders
        self._registry = registry
        self._runner = runner
        self._budget_guard = budget_guard
        self._rng = rng
        self._retries = RetryBudget()

    async def complete(self, job: CompletionJob) -> Completed:
        """Return the first finished completion; raise the last `ProviderError` if no provider finishes one.

        Providers of other regions are no candidates, whatever fails; if one might have served, that is recorded.
        """
        try:
            return await self._complete(job)
        except ProviderError:
            self._record_excluded(job.request)
            raise

    async def _complete(self, job: CompletionJob) -> Completed:
        self._retries.earn()
        route = self._registry.config.route_of(job.request.route)
        candidates = self._select(job.request)
        rounds_done = 0
        while True:
            outcome = await self._run_round(job, route, candidates)
            if isinstance(outcome, Completed):
                return outcome
            rounds_done += 1
            error = outcome[-1].error
            candidates = [failed.candidate for failed in outcome if failed.is_retryable]
            if not candidates or not await self._wait(job, rounds_done, error):
                raise error

    def _select(self, request: Complete) -> list[Candidate]:
        """Return the candidates that may and can serve a request; raise `ProviderError` if there are none."""
        config = self._registry.config
        candidates = eligible(config, request)
        if not self._budget_guard.may_spend(config.budget, request.tenant):
            candidates = [candidate for candidate in candidates if candidate.provider.is_free]
            if not candidates:
                raise ProviderError("budget", f"{request.tenant}: daily budget exhausted", retryable=False)
        if not candidates:
            raise ProviderError("unavailable", "no provider of the route can serve this request", retryable=False)
        return candidates

    def _record_excluded(self, request: Complete) -> None:
        if self._borders is None:
            return
        config = self._registry.config
        for provider in excluded(config, request):
            self._borders.admits(
                "provider",
                data=request.region,
                place=provider.region,
                policy=config.residency,
                conversation=request.stream_to.ref.conversation if request.stream_to is not None else "",
                asset=provider.name,
            )

    async def _run_round(
        self, job: CompletionJob, route: RouteConfig, candidates: list[Candidate]
    ) -> Completed | list[FailedAttempt]:
        """Run the candidates one after another until one finishes."""
        ranked = rank(candidates, route, job.request, first_token_s=self._registry.first_token_s, rng=self._rng)
        pending = drop_quoting(ranked)
        failed: list[FailedAttempt] = []
        while pending:
            candidate = pending[0]
            try:
                return await self._run_next(job, route, pending)
            except ProviderError as error:
                failed.append(FailedAttempt(candidate, error))
        return failed

    def _run_next(self, job: CompletionJob, route: RouteConfig, pending: list[Candidate]) -> Awaitable[Completed]:
        """Run the next candidate, hedged by the one after it if the route says so and no text exists yet."""
        candidate = pending.pop(0)
        hedge_after_s = self._registry.hedge_delay_s(route, candidate.provider.name)
        if hedge_after_s and pending and not job.buffer.is_begun:
            return self._runner.run_hedged(job, (candidate, pending.pop(0)), hedge_after_s)
        return self._runner.run(job, candidate)

    async def _wait(self, job: CompletionJob, rounds_done: int, error: ProviderError) -> bool:
        """Wait before the next round; return False if no further round is allowed."""
        remaining_s = job.deadline.at - asyncio.get_running_loop().time()
        delay_s = retry_delay_s(rounds_done, remaining_s, self._rng(), retry_after_s=error.retry_after_s)
        if delay_s is None or not self._retries.spend():
            return False
        await asyncio.sleep(delay_s)
        return True
