"""The report of a load run as JSON; its keys are explained in bench/README.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from trunkline_cli.bench.load.core.histogram import Histogram
from trunkline_cli.bench.load.core.profile import Phase, mean_rate, seconds_of
from trunkline_cli.bench.load.core.tally import MEASURES, PhaseTally, Tally, merged

PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0, 99.9)
_DIFFERS_MS: Final = 1.0
"""Smaller differences between the intended moment and the moment of sending are not reported."""


@dataclass(frozen=True, slots=True)
class ServiceUsage:
    """Use of the suite's machine during a load, by service; empty if the suite runs elsewhere."""

    cpu_s: Mapping[str, float]
    rss_mib: Mapping[str, float]
    """At the end."""
    received: Mapping[str, float] = field(default_factory=dict)
    """Messages from each service to the NATS servers; empty without access to them."""
    sent: Mapping[str, float] = field(default_factory=dict)
    """Messages from the NATS servers to each service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedLoad:
    """The load that was requested."""

    conversations: int
    processes: int
    arrivals: str
    phases: Sequence[Phase]
    active: int = 0
    warm_up: int = 0


def load_report(load: RequestedLoad, result: Tally, usage: ServiceUsage) -> dict[str, Any]:
    """Return the report."""
    return {
        "conversations": load.conversations,
        "rate": round(mean_rate(load.phases), 3),
        "duration_s": seconds_of(load.phases),
        "processes": load.processes,
        "arrivals": load.arrivals,
        "active": load.active or load.conversations,
        "warm_up": load.warm_up,
        **_counts(result),
        **_latencies(result.phases),
        **_usage(result, usage),
        **({"phases": _phases(load, result)} if len(load.phases) > 1 else {}),
    }


def _counts(result: Tally) -> dict[str, Any]:
    counts = result.counts
    return {
        "turns": counts.turns,
        "accepted": counts.accepted,
        "answered": counts.answered,
        "lost": counts.lost,
        "duplicated": counts.duplicated,
        "misordered": counts.misordered,
        "errors": sum(result.errors.values()),
        "errors_by_code": dict(sorted(result.errors.items())),
        "error_samples": result.error_samples,
        "refused": counts.refused,
        "refusals": counts.refusals,
        "retried": counts.retried,
        "skipped": counts.skipped,
        "delayed": counts.delayed,
        "replaced": counts.replaced,
        "without_model_time": counts.without_model_time,
    }


def _latencies(phases: Sequence[PhaseTally]) -> dict[str, Any]:
    """Return the distributions from the intended moment, and those from the moment of sending if they differ."""
    totals = {name: merged(phase.histograms[name] for phase in phases) for name in MEASURES}
    report: dict[str, Any] = {}
    for name in ("overhead", "first_token", "first_token_overhead", "response"):
        report[f"{name}_ms"] = distribution(totals[name])
        from_sent = totals.get(f"{name}_from_sent")
        if from_sent is not None and _differ(totals[name], from_sent):
            report[f"{name}_from_sent_ms"] = distribution(from_sent)
    return report


def _differ(intended: Histogram, from_sent: Histogram) -> bool:
    pairs = [(intended.percentile_ms(at), from_sent.percentile_ms(at)) for at in PERCENTILES]
    return any(abs(one - other) > _DIFFERS_MS for one, other in (*pairs, (intended.max_ms, from_sent.max_ms)))


def _usage(result: Tally, usage: ServiceUsage) -> dict[str, Any]:
    answered = max(1, result.counts.answered)
    messages = {
        "in": _with_total({name: round(count / answered, 2) for name, count in usage.received.items()}),
        "out": _with_total({name: round(count / answered, 2) for name, count in usage.sent.items()}),
    }
    return {
        "cpu_ms_per_turn": _with_total({name: round(s * 1000 / answered, 3) for name, s in usage.cpu_s.items()}),
        "client_cpu_ms_per_turn": round(result.cpu_s * 1000 / answered, 3),
        "rss_mib": dict(sorted(usage.rss_mib.items())),
        "client_rss_mib": round(result.rss_mib, 1),
        **({"messages_per_turn": messages} if usage.received else {}),
    }


def _phases(load: RequestedLoad, result: Tally) -> list[dict[str, Any]]:
    return [
        {
            "phase": phase.name,
            "turns": each.turns,
            "answered": each.answered,
            "refused": each.refused,
            "skipped": each.skipped,
            "overhead_ms": distribution(each.histograms["overhead"].histogram()),
            "response_ms": distribution(each.histograms["response"].histogram()),
        }
        for phase, each in zip(load.phases, result.phases, strict=True)
    ]


def _with_total(values: Mapping[str, float]) -> dict[str, float]:
    return {"total": round(sum(values.values()), 3), **dict(sorted(values.items()))}


def distribution(histogram: Histogram) -> dict[str, float]:
    """Return percentiles and maximum in milliseconds; empty if there are no values."""
    if not histogram.count:
        return {}
    percentiles = {f"p{percent:g}": round(histogram.percentile_ms(percent), 2) for percent in PERCENTILES}
    return {**percentiles, "max": round(histogram.max_ms, 2)}
