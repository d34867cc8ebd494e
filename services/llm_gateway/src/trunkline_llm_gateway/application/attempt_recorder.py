"""Accounting of attempts: metrics, charges to the tenant's budget, and the attempts listed in the turn's record."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import Final

import structlog
from prometheus_client import Counter, Histogram
from trunkline_protocols.accounting import ProviderAttempt
from trunkline_protocols.completion import Completed

from trunkline_llm_gateway.application.attempt import Attempt
from trunkline_llm_gateway.application.budget_guard import BudgetGuard
from trunkline_llm_gateway.core import costs
from trunkline_llm_gateway.core.citations import citations
from trunkline_llm_gateway.ports import ProviderError, ProviderResult

_log: Final = structlog.get_logger(__name__)
_SECONDS: Final = Histogram("trunkline_llm_request_seconds", "Duration of a completion", ["provider", "model"])
_ERRORS: Final = Counter("trunkline_llm_errors_total", "Failed attempts", ["provider", "model", "code"])
_TOKENS: Final = Counter("trunkline_llm_tokens_total", "Tokens used", ["provider", "model", "direction"])
_COST: Final = Counter("trunkline_llm_cost_total", "Cost in US dollars", ["provider", "model"])
_STOPPED: Final = "stopped"
"""Outcome of a cancelled attempt: the other attempt of a hedged pair won, or the customer left."""


class AttemptRecorder:
    """Records the outcome of every attempt."""

    def __init__(self, budget_guard: BudgetGuard) -> None:
        """`budget_guard` is charged for every attempt."""
        self._budget_guard = budget_guard

    def record_rejection(self, code: str) -> None:
        """Count a request that was sent to no provider, or that none could finish."""
        _ERRORS.labels("gateway", "", code).inc()

    def record_failure(self, attempt: Attempt, error: ProviderError, *, forwarded: bool = True) -> None:
        """Count a failure; `forwarded` is false for the losing attempt of a hedged pair."""
        candidate = attempt.candidate
        _ERRORS.labels(candidate.provider.name, candidate.model, error.code).inc()
        _log.warning("provider.call_failed", provider=candidate.provider.name, code=error.code, status=error.status)
        self._record_unfinished(attempt, error.code, attempt.characters if forwarded else 0)

    def record_cancellation(self, attempt: Attempt, *, forwarded: bool = True) -> None:
        """Charge the cost of a cancelled attempt; it is no failure of the provider."""
        self._record_unfinished(attempt, _STOPPED, attempt.characters if forwarded else 0)

    def record_completion(self, attempt: Attempt, result: ProviderResult, *, degraded: str = "") -> Completed:
        """Count a completion and build the reply with its attempts."""
        candidate, job = attempt.candidate, attempt.job
        buffer, usage = job.buffer, result.usage
        meters = _meters(candidate.provider.name, result.model)
        meters.seconds.observe(time.perf_counter() - attempt.started)
        meters.input_tokens.inc(usage.input_tokens)
        meters.output_tokens.inc(usage.output_tokens)
        meters.cost.inc(usage.cost)
        self._budget_guard.charge(job.request.tenant, usage.cost)
        text = buffer.text
        return Completed(
            text=text,
            provider=candidate.provider.name,
            model=result.model,
            citations=citations(text, job.request.passages) if result.citations is None else result.citations,
            abstained=result.abstained,
            usage=usage,
            first_token_ms=result.first_token_ms,
            model_ms=result.model_ms,
            stop_reason=result.stop_reason,
            tool_calls=result.tool_calls,
            # A first attempt that succeeds needs no record beside the reply's own fields.
            attempts=[*buffer.attempts, _provider_attempt(attempt, "answered", attempt.characters, usage.cost)]
            if buffer.attempts
            else [],
            degraded=degraded,
        )

    def _record_unfinished(self, attempt: Attempt, outcome: str, characters: int) -> None:
        provider, request = attempt.candidate.provider, attempt.job.request
        usd = costs.unfinished_cost(provider, request, outcome=outcome, characters=characters)
        if usd:
            _meters(provider.name, attempt.candidate.model).cost.inc(usd)
            self._budget_guard.charge(request.tenant, usd)
        attempt.job.buffer.attempts.append(_provider_attempt(attempt, outcome, characters, usd))


@dataclass(frozen=True, slots=True)
class _Meters:
    """Metrics of one model, cached because looking up labels costs more than counting."""

    seconds: Histogram
    input_tokens: Counter
    output_tokens: Counter
    cost: Counter


@cache
def _meters(provider: str, model: str) -> _Meters:
    return _Meters(
        seconds=_SECONDS.labels(provider, model),
        input_tokens=_TOKENS.labels(provider, model, "input"),
        output_tokens=_TOKENS.labels(provider, model, "output"),
        cost=_COST.labels(provider, model),
    )


def _provider_attempt(attempt: Attempt, outcome: str, characters: int, cost: float) -> ProviderAttempt:
    return ProviderAttempt(
        provider=attempt.candidate.provider.name,
        model=attempt.candidate.model,
        outcome=outcome,
        characters=characters,
        continued=bool(attempt.prefix),
        cost=cost,
        ms=round((time.perf_counter() - attempt.started) * 1000, 3),
    )
