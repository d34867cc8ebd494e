"""Execution of attempts: a single one, a hedged pair, or the fallback without a model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from trunkline_protocols.completion import Completed

from trunkline_llm_gateway.application.attempt import Attempt, CompletionJob
from trunkline_llm_gateway.application.attempt_recorder import AttemptRecorder
from trunkline_llm_gateway.application.hedged_request import HedgedRequest
from trunkline_llm_gateway.application.provider_registry import ProviderRegistry
from trunkline_llm_gateway.core.routing import Candidate
from trunkline_llm_gateway.ports import Call, Emit, ProviderError, ProviderResult


class AttemptRunner:
    """Runs attempts and records their outcomes; a failed attempt raises `ProviderError`."""

    def __init__(self, registry: ProviderRegistry, recorder: AttemptRecorder) -> None:
        """`registry` provides the clients."""
        self._registry = registry
        self._recorder = recorder

    async def run(self, job: CompletionJob, candidate: Candidate) -> Completed:
        """Run one attempt, continuing the text of an earlier one if the provider supports it."""
        buffer = job.buffer
        prefix = buffer.begin(continues=candidate.provider.continues != "no")
        attempt = Attempt(candidate, job, prefix, len(buffer.text))
        try:
            result = await self._call(attempt, buffer.add)
        except ProviderError as error:
            self._recorder.record_failure(attempt, error)
            raise
        except asyncio.CancelledError:
            self._recorder.record_cancellation(attempt)
            raise
        await buffer.end()
        return self._recorder.record_completion(attempt, result)

    async def run_hedged(self, job: CompletionJob, pair: tuple[Candidate, Candidate], after_s: float) -> Completed:
        """Run the first of a pair, and the second as well if the first emits nothing within `after_s` seconds."""
        hedged = HedgedRequest(job.buffer.add)
        attempts: dict[int, Attempt] = {}

        async def run(number: int, emit: Emit) -> ProviderResult:
            attempt = attempts[number] = Attempt(pair[number], job)
            try:
                return await self._call(attempt, emit)
            except ProviderError as error:
                self._recorder.record_failure(attempt, error, forwarded=hedged.winner == number)
                raise
            except asyncio.CancelledError:
                self._recorder.record_cancellation(attempt, forwarded=hedged.winner == number)
                raise

        number, result = await hedged.run(run, after_s)
        await job.buffer.end()
        return self._recorder.record_completion(attempts[number], result)

    async def run_fallback(self, job: CompletionJob, code: str) -> Completed:
        """Complete without a model, preceded by a notice; `code` is the failure that caused it."""
        client, buffer = self._registry.fallback, job.buffer
        buffer.begin(continues=False)
        attempt = Attempt(Candidate(client.config, client.config.kind), job)
        await buffer.add(f"{self._registry.config.notice} ")
        result = await client.provider.complete(Call(job.request, client.config.kind), buffer.add)
        await buffer.end()
        return self._recorder.record_completion(attempt, result, degraded=code)

    def _call(self, attempt: Attempt, emit: Emit) -> Awaitable[ProviderResult]:
        client = self._registry.client(attempt.candidate.provider.name)
        call = Call(attempt.job.request, attempt.candidate.model, attempt.prefix)
        return client.complete(call, emit, deadline=attempt.job.deadline.at)
