"""Report of a run: each target by itself, and the differences between targets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from bench.llm_gateway.load import LoadResult
from bench.percentiles import percentiles

_PERCENTILES: Final = (50, 95, 99)

_DIFFERENCES: Final = {
    "bare_proxy_ms": ("bare_proxy", "direct"),
    "gateway_own_ms": ("in_process", "direct"),
    "gateway_with_bus_ms": ("gateway", "direct"),
    "litellm_own_ms": ("litellm", "direct"),
    "bare_proxy_slow_ms": ("bare_proxy_slow", "direct_slow"),
    "litellm_own_slow_ms": ("litellm_slow", "direct_slow"),
    "gateway_with_bus_slow_ms": ("gateway_slow", "direct_slow"),
}
"""Name of a difference -> its target and the target that is subtracted."""


@dataclass
class Measurement:
    """Measurements of one target over all rounds."""

    overhead_ms: list[float] = field(default_factory=list)
    """Latency of the client less the model's own time."""
    errors: list[str] = field(default_factory=list)
    cpu_s: float = 0.0
    """CPU time of the process between client and model."""

    def add(self, result: LoadResult, model_ms: dict[str, float], cpu_s: float) -> None:
        """Add one round; `model_ms` is the model's own time by request name."""
        self.overhead_ms += [ms - model_ms.get(name, 0.0) for name, ms in result.latency_ms.items()]
        self.errors += result.errors
        self.cpu_s += cpu_s


def summarise(measurement: Measurement) -> dict[str, Any]:
    """Summarise one target."""
    return {
        "answered": len(measurement.overhead_ms),
        "errors": len(measurement.errors),
        "error_samples": measurement.errors[:3],
        "overhead_ms": percentiles(measurement.overhead_ms, _PERCENTILES, digits=3),
        "cpu_us_per_request": round(measurement.cpu_s * 1e6 / max(1, len(measurement.overhead_ms)), 1),
    }


def compare(targets: dict[str, dict[str, Any]], chunks: int) -> dict[str, Any]:
    """Return the differences between targets per percentile, and the CPU time per chunk for answers of `chunks`."""
    report: dict[str, Any] = {
        name: {
            at: round(ms - targets[other]["overhead_ms"][at], 3) for at, ms in targets[target]["overhead_ms"].items()
        }
        for name, (target, other) in _DIFFERENCES.items()
        if target in targets
    }
    if chunks > 1:
        more_us = targets["gateway"]["cpu_us_per_request"] - targets["gateway_one_chunk"]["cpu_us_per_request"]
        report["gateway_cpu_us_per_chunk"] = round(more_us / (chunks - 1), 1)
    return report


def summarise_cancellations(cancelled_at: dict[str, float], closed_at: dict[str, float]) -> dict[str, float]:
    """Return the time from a cancellation until the model's connection was closed, in milliseconds."""
    delays_ms = sorted((closed_at[name] - at) * 1000 for name, at in cancelled_at.items() if name in closed_at)
    report: dict[str, float] = {"runs": len(cancelled_at), "closed": len(delays_ms)}
    if delays_ms:
        report |= {"p50": round(delays_ms[len(delays_ms) // 2], 3), "max": round(delays_ms[-1], 3)}
    return report
