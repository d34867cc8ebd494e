"""What came of every try: counted, charged to its tenant, and written down for the turn's record."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import Final

import msgspec
import structlog
from prometheus_client import Counter, Histogram
from trunkline_protocols.accounting import ProviderAttempt
from trunkline_protocols.completion import Complete, Completed

from trunkline_llm_gateway.application.budget_guard import BudgetGuard
from trunkline_llm_gateway.application.completion_buffer import CompletionBuffer
from trunkline_llm_gateway.core import costs
from trunkline_llm_gateway.core.citations import citations
from trunkline_llm_gateway.core.routing import Candidate
from trunkline_llm_gateway.ports import ProviderError, ProviderResult

_log: Final = structlog.get_logger(__name__)
_SECONDS: Final = Histogram("trunkline_llm_request_seconds", "One completion", ["provider", "model"])
_ERRORS: Final = Counter("trunkline_llm_errors_total", "Failed tries", ["provider", "model", "code"])
_TOKENS: Final = Counter("trunkline_llm_tokens_total", "Tokens", ["provider", "model", "direction"])
_COST: Final = Counter("trunkline_llm_cost_total", "US dollars", ["provider", "model"])
_STOPPED: Final = "stopped"
"""Outcome of a try that nobody waited for any more: the other one of a pair was quicker, or the customer has left."""


class Attempt(msgspec.Struct, frozen=True):
    """One provider's try at an order."""

    option: Candidate
    request: Complete
    buffer: CompletionBuffer
    given: str = ""
    """The text that it goes on with."""
    before: int = 0
    """Characters that others had written when it began."""
    started: float = msgspec.field(default_factory=time.perf_counter)

    @property
    def characters(self) -> int:
        """How much it has written, if it is the one that is heard."""
        return len(self.buffer.text) - self.before


class AttemptRecorder:
    """Keeps the books."""

    def __init__(self, budget_guard: BudgetGuard) -> None:
        """`budget_guard` is who pays."""
        self._budget_guard = budget_guard

    def refused(self, code: str) -> None:
        """Count an order that no provider got, or none could finish."""
        _ERRORS.labels("gateway", "", code).inc()

    def failed(self, attempt: Attempt, error: ProviderError, *, heard: bool = True) -> None:
        """Count a failure; `heard`: the customer was shown what it wrote."""
        option = attempt.option
        _ERRORS.labels(option.provider.name, option.model, error.code).inc()
        _log.warning("llm.failed", provider=option.provider.name, code=error.code, reason=str(error)[:300])
        self._lost(attempt, error.code, attempt.characters if heard else 0)

    def stopped(self, attempt: Attempt, *, heard: bool = True) -> None:
        """Count the cost of work that was broken off; nobody is to blame."""
        self._lost(attempt, _STOPPED, attempt.characters if heard else 0)

    def completed(self, attempt: Attempt, written: ProviderResult, *, degraded: str = "") -> Completed:
        """Count an answer, and return it with its record."""
        option, buffer = attempt.option, attempt.buffer
        usage, meters = written.usage, _meters(option.provider.name, written.model)
        meters.seconds.observe(time.perf_counter() - attempt.started)
        meters.input_tokens.inc(usage.input_tokens)
        meters.output_tokens.inc(usage.output_tokens)
        meters.cost.inc(usage.cost)
        self._budget_guard.charge(attempt.request.tenant, usage.cost)
        text = buffer.text
        return Completed(
            text=text,
            provider=option.provider.name,
            model=written.model,
            citations=citations(text, attempt.request.passages) if written.citations is None else written.citations,
            abstained=written.abstained,
            usage=usage,
            first_token_ms=written.first_token_ms,
            model_ms=written.model_ms,
            stop_reason=written.stop_reason,
            tool_calls=written.tool_calls,
            # The first one's answer needs no record beside its own.
            attempts=[*buffer.attempts, _try(attempt, "answered", attempt.characters, usage.cost)]
            if buffer.attempts
            else [],
            degraded=degraded,
        )

    def _lost(self, attempt: Attempt, outcome: str, characters: int) -> None:
        provider = attempt.option.provider
        usd = costs.lost(provider, attempt.request, outcome=outcome, written=characters)
        if usd:
            _meters(provider.name, attempt.option.model).cost.inc(usd)
            self._budget_guard.charge(attempt.request.tenant, usd)
        attempt.buffer.attempts.append(_try(attempt, outcome, characters, usd))


@dataclass(frozen=True, slots=True)
class _Meters:
    """The metrics of one model: looking their labels up costs more than counting."""

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


def _try(attempt: Attempt, outcome: str, characters: int, cost: float) -> ProviderAttempt:
    return ProviderAttempt(
        provider=attempt.option.provider.name,
        model=attempt.option.model,
        outcome=outcome,
        characters=characters,
        continued=bool(attempt.given),
        cost=cost,
        ms=round((time.perf_counter() - attempt.started) * 1000, 3),
    )
