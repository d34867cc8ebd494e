"""Execution of attempts: a single one, a hedged pair, or the fallback without a model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, get_args

from trunkline_chassis.tracing import span_types as spans
from trunkline_chassis.tracing.tracer import TurnSpan, span
from trunkline_protocols.completion import Completed

from trunkline_llm_gateway.application.attempt import Attempt, CompletionJob
from trunkline_llm_gateway.application.attempt_recorder import AttemptRecorder
from trunkline_llm_gateway.application.hedged_request import HedgedRequest
from trunkline_llm_gateway.application.masked_call import MaskedCaller
from trunkline_llm_gateway.application.provider_registry import ProviderRegistry
from trunkline_llm_gateway.core.answer_check import WITHDRAWN
from trunkline_llm_gateway.core.routing import Candidate
from trunkline_llm_gateway.core.stop_reasons import StopReason
from trunkline_llm_gateway.core.truncation import may_continue, truncation_mark
from trunkline_llm_gateway.ports import Call, Emit, ProviderError, ProviderResult

_STOP_REASONS: Final = frozenset(get_args(StopReason))


class AttemptRunner:
    """Runs attempts and records their outcomes; a failed attempt raises `ProviderError`."""

    def __init__(self, registry: ProviderRegistry, recorder: AttemptRecorder) -> None:
        """`registry` provides the clients."""
        self._registry = registry
        self._recorder = recorder
        self._caller = MaskedCaller()

    async def run(self, job: CompletionJob, candidate: Candidate) -> Completed:
        """Run one attempt, continuing the text of an earlier one if the provider supports it."""
        attempt, result = await self._attempt(job, candidate)
        return await self._complete(attempt, result)

    async def run_hedged(self, job: CompletionJob, pair: tuple[Candidate, Candidate], after_s: float) -> Completed:
        """Run the first of a pair, and the second as well if the first emits nothing within `after_s` seconds."""
        hedged = HedgedRequest(job.buffer.add)
        attempts: dict[int, Attempt] = {}

        async def run(number: int, emit: Emit) -> ProviderResult:
            attempt = attempts[number] = Attempt(pair[number], job)
            return await self._call(attempt, emit, is_forwarded=lambda: hedged.winner == number)

        number, result = await hedged.run(run, after_s)
        return await self._complete(attempts[number], result)

    async def run_fallback(self, job: CompletionJob, code: str) -> Completed:
        """Complete without a model, preceded by a notice; `code` is the failure that caused it."""
        client, buffer = self._registry.fallback, job.buffer
        buffer.begin(continues=False)
        attempt = Attempt(Candidate(client.config, client.config.kind), job)
        config = self._registry.config
        await buffer.add(f"{config.filter_notice if code == 'content_filter' else config.notice} ")
        with span(spans.CHAT) as called:
            result = await client.provider.complete(Call(job.request, client.config.kind), buffer.add)
            _describe(called, attempt.candidate, result)
        await buffer.end()
        return self._recorder.record_completion(attempt, result, degraded=code)

    async def _complete(self, attempt: Attempt, result: ProviderResult) -> Completed:
        """Continue an answer that was cut at the limit of tokens; if that does not complete it, mark it."""
        job, candidate = attempt.job, attempt.candidate
        parts: list[ProviderResult] = []
        while result.stop_reason == "length" and not result.tool_calls:
            if candidate.provider.continues == "no" or not _has_time(job, result, len(parts) + 1):
                await job.buffer.end_part()
                await job.buffer.add(truncation_mark(job.buffer.text))
                break
            self._recorder.record_part(attempt, result)
            parts.append(result)
            attempt, result = await self._attempt(job, candidate)
        await job.buffer.end(is_answer=not result.tool_calls)
        return self._recorder.record_completion(attempt, result, parts)

    async def _attempt(self, job: CompletionJob, candidate: Candidate) -> tuple[Attempt, ProviderResult]:
        """Run one call of a provider behind the text so far."""
        prefix = job.buffer.begin(continues=candidate.provider.continues != "no")
        attempt = Attempt(candidate, job, prefix, len(job.buffer.text))
        return attempt, await self._call(attempt, job.buffer.add)

    async def _call(
        self, attempt: Attempt, emit: Emit, *, is_forwarded: Callable[[], bool] = lambda: True
    ) -> ProviderResult:
        """Call a provider and record a failure; a text that it withdraws is removed at once."""
        try:
            with span(spans.CHAT) as called:
                return await self._call_traced(attempt, emit, called)
        except ProviderError as error:
            self._recorder.record_failure(attempt, error, forwarded=is_forwarded())
            if error.code in WITHDRAWN and is_forwarded():
                await attempt.job.buffer.withdraw()
            raise
        except asyncio.CancelledError:
            self._recorder.record_cancellation(attempt, forwarded=is_forwarded())
            raise

    async def _call_traced(self, attempt: Attempt, emit: Emit, called: TurnSpan) -> ProviderResult:
        """Call a provider within a span."""
        candidate = attempt.candidate
        client = self._registry.client(candidate.provider.name)
        call = Call(attempt.job.request, candidate.model, attempt.prefix)
        if called.is_recorded:
            _describe(called, candidate)
        try:
            result = await self._caller.complete(
                client, call, emit, countries=self._registry.config.countries, deadline=attempt.job.deadline.at
            )
        except ProviderError as error:
            called.fail(error.code)
            raise
        if called.is_recorded:
            _describe(called, candidate, result)
        return result


def _describe(called: TurnSpan, candidate: Candidate, result: ProviderResult | None = None) -> None:
    called.set(spans.PROVIDER_KIND, candidate.provider.kind)
    called.set(spans.PROVIDER, candidate.provider.name)
    called.set(spans.REQUEST_MODEL, candidate.model)
    if result is not None:
        called.set(spans.RESPONSE_MODEL, result.model)
        # As in the metrics: a word of the provider's own is no attribute.
        called.set(spans.FINISH_REASON, result.stop_reason if result.stop_reason in _STOP_REASONS else "other")
        called.set(spans.INPUT_TOKENS, result.usage.input_tokens)
        called.set(spans.OUTPUT_TOKENS, result.usage.output_tokens)
        called.set(spans.FIRST_TOKEN_MS, result.first_token_ms)


def _has_time(job: CompletionJob, result: ProviderResult, parts_done: int) -> bool:
    remaining_s = job.deadline.at - asyncio.get_running_loop().time()
    return may_continue(parts_done, part_s=result.model_ms / 1000, remaining_s=remaining_s)
