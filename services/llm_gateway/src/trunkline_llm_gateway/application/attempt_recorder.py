"""Accounting of attempts: metrics, charges to the tenant's budget, and the attempts listed in the turn's record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, get_args

import structlog
from prometheus_client import Counter, Histogram
from trunkline_protocols.accounting import ProviderAttempt, Usage
from trunkline_protocols.completion import Completed

from trunkline_llm_gateway.application.attempt import Attempt
from trunkline_llm_gateway.application.budget_guard import BudgetGuard
from trunkline_llm_gateway.core import costs
from trunkline_llm_gateway.core.citations import citations
from trunkline_llm_gateway.core.stop_reasons import StopReason
from trunkline_llm_gateway.ports import ProviderError, ProviderResult

_log: Final = structlog.get_logger(__name__)
_SECONDS: Final = Histogram("trunkline_llm_request_seconds", "Duration of a completion", ["provider", "model"])
_ERRORS: Final = Counter("trunkline_llm_errors_total", "Failed attempts", ["provider", "model", "code"])
_TOKENS: Final = Counter("trunkline_llm_tokens_total", "Tokens used", ["provider", "model", "direction"])
_COST: Final = Counter("trunkline_llm_cost_total", "Cost in US dollars", ["provider", "model"])
_STOP_REASONS: Final = Counter(
    "trunkline_llm_stop_reasons_total", "Finished answers by the reason of their end", ["provider", "model", "reason"]
)
_ODDITIES: Final = Counter(
    "trunkline_llm_oddities_total", "Faults of an answer that did not harm it", ["provider", "model", "kind"]
)
_SILENT_ODDITIES: Final = frozenset({"usage_missing"})
"""Oddities of every answer of some servers: they are counted, not logged."""
_FILTERED: Final = "content_filter"
"""A failure that is the end of an answer too."""
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
        if error.code == _FILTERED:
            _meters(candidate.provider.name, candidate.model).stop_reason(_FILTERED).inc()
        _log.warning("provider.call_failed", provider=candidate.provider.name, code=error.code, status=error.status)
        self._record_unfinished(attempt, error.code, attempt.characters if forwarded else 0, error.usage)

    def record_cancellation(self, attempt: Attempt, *, forwarded: bool = True) -> None:
        """Charge the cost of a cancelled attempt; it is no failure of the provider."""
        self._record_unfinished(attempt, _STOPPED, attempt.characters if forwarded else 0)

    def record_part(self, attempt: Attempt, result: ProviderResult) -> None:
        """Count a part of an answer that was cut at the limit of tokens, and which the same provider continues."""
        self._count(attempt, result)
        attempt.job.buffer.attempts.append(
            _provider_attempt(attempt, result.stop_reason, attempt.characters, result.usage.cost)
        )

    def record_completion(
        self, attempt: Attempt, result: ProviderResult, parts: Sequence[ProviderResult] = (), *, degraded: str = ""
    ) -> Completed:
        """Count a completion and build the reply with its attempts; `parts` are those that precede the result."""
        candidate, job = attempt.candidate, attempt.job
        buffer = job.buffer
        self._count(attempt, result)
        text = buffer.text
        return Completed(
            text=text,
            provider=candidate.provider.name,
            model=result.model,
            citations=citations(text, job.request.passages) if result.citations is None else result.citations,
            abstained=result.abstained,
            usage=costs.total([*(part.usage for part in parts), result.usage]) if parts else result.usage,
            first_token_ms=parts[0].first_token_ms if parts else result.first_token_ms,
            model_ms=sum(part.model_ms for part in parts) + result.model_ms,
            stop_reason=result.stop_reason,
            tool_calls=result.tool_calls,
            # A first attempt that succeeds needs no record beside the reply's own fields.
            attempts=[*buffer.attempts, _provider_attempt(attempt, "answered", attempt.characters, result.usage.cost)]
            if buffer.attempts
            else [],
            degraded=degraded,
        )

    def _count(self, attempt: Attempt, result: ProviderResult) -> None:
        """Count an answer or a part of one, and charge its cost."""
        provider, usage = attempt.candidate.provider.name, result.usage
        meters = _meters(provider, result.model)
        meters.seconds.observe(time.perf_counter() - attempt.started)
        meters.input_tokens.inc(usage.input_tokens)
        meters.output_tokens.inc(usage.output_tokens)
        meters.cost.inc(usage.cost)
        meters.stop_reason(result.stop_reason).inc()
        self._budget_guard.charge(attempt.job.request.tenant, usage.cost)
        for kind in result.oddities:
            _ODDITIES.labels(provider, result.model, kind).inc()
            if kind not in _SILENT_ODDITIES:
                _log.warning("provider.oddity", provider=provider, kind=kind)

    def _record_unfinished(self, attempt: Attempt, outcome: str, characters: int, usage: Usage | None = None) -> None:
        provider, request = attempt.candidate.provider, attempt.job.request
        if usage is not None:
            usd = usage.cost
            meters = _meters(provider.name, attempt.candidate.model)
            meters.input_tokens.inc(usage.input_tokens)
            meters.output_tokens.inc(usage.output_tokens)
        else:
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
    stop_reasons: dict[str, Counter]

    def stop_reason(self, reason: str) -> Counter:
        """Return the counter of a stop reason; the words of providers must not become labels."""
        return self.stop_reasons.get(reason) or self.stop_reasons["other"]


@cache
def _meters(provider: str, model: str) -> _Meters:
    return _Meters(
        seconds=_SECONDS.labels(provider, model),
        input_tokens=_TOKENS.labels(provider, model, "input"),
        output_tokens=_TOKENS.labels(provider, model, "output"),
        cost=_COST.labels(provider, model),
        stop_reasons={reason: _STOP_REASONS.labels(provider, model, reason) for reason in get_args(StopReason)},
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
