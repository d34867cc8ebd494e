"""The report of a load run as JSON; its keys are explained in bench/README.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from trunkline_cli.bench.records import ConversationRecord, TurnRecord

_PERCENTILES: Final = (50, 95, 99)
_MAX_ERROR_SAMPLES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """Records and resource usage of a load run."""

    conversations: int
    rate: float
    duration_s: float
    records: list[ConversationRecord]
    skipped: int
    """Turns that were not sent because every conversation was waiting for an answer."""
    cpu_s: Mapping[str, float]
    """CPU seconds by service."""
    client_cpu_s: float
    rss_mib: Mapping[str, float]
    """Resident memory by service."""


def load_report(result: LoadResult) -> str:
    """Return the report as indented JSON."""
    turns = [turn for record in result.records for turn in record.turns]
    report = {
        "conversations": result.conversations,
        "rate": result.rate,
        "duration_s": result.duration_s,
        **_counts(result.records, turns),
        "skipped": result.skipped,
        **_latencies(turns),
        **_usage(result, sum(turn.answered_at is not None for turn in turns)),
    }
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def _counts(records: list[ConversationRecord], turns: list[TurnRecord]) -> dict[str, object]:
    accepted = [turn for turn in turns if turn.accepted_at is not None]
    refused = [turn.retry_after_s for turn in turns if turn.retry_after_s is not None]
    errors = [error for record in records for error in record.errors]
    return {
        "turns": len(turns),
        "accepted": len(accepted),
        "answered": sum(turn.answered_at is not None for turn in turns),
        "lost": sum(turn.answered_at is None for turn in accepted),
        "duplicated": sum(record.duplicated for record in records),
        "misordered": sum(record.misordered for record in records),
        "refused": len(refused),
        "retry_after_s": _distribution(refused),
        "errors": len(errors),
        "error_samples": errors[:_MAX_ERROR_SAMPLES],
    }


def _latencies(turns: list[TurnRecord]) -> dict[str, object]:
    """Return the distributions; overhead is the time less the model's own time."""
    responses = [(turn, turn.response_ms) for turn in turns]
    first_tokens = [(turn, turn.first_token_ms) for turn in turns]
    return {
        "overhead_ms": _distribution(ms - turn.model_ms for turn, ms in responses if ms is not None),
        "first_token_ms": _distribution(ms for _, ms in first_tokens if ms is not None),
        "first_token_overhead_ms": _distribution(
            ms - turn.model_first_token_ms for turn, ms in first_tokens if ms is not None
        ),
        "response_ms": _distribution(ms for _, ms in responses if ms is not None),
    }


def _usage(result: LoadResult, answered: int) -> dict[str, object]:
    per_turn = {
        service: round(seconds * 1000 / max(1, answered), 3) for service, seconds in sorted(result.cpu_s.items())
    }
    return {
        "cpu_ms_per_turn": {"total": round(sum(per_turn.values()), 3), **per_turn},
        "client_cpu_ms_per_turn": round(result.client_cpu_s * 1000 / max(1, answered), 3),
        "rss_mib": dict(sorted(result.rss_mib.items())),
    }


def _distribution(values: Iterable[float]) -> dict[str, float]:
    """Return percentiles and maximum; empty if there are no values."""
    ordered = sorted(values)
    if not ordered:
        return {}
    percentiles = {
        f"p{percent}": round(ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))], 2)
        for percent in _PERCENTILES
    }
    return {**percentiles, "max": round(ordered[-1], 2)}
