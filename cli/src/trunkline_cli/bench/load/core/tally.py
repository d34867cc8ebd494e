"""Counts and histograms of a load, which add up over processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

import msgspec

from trunkline_cli.bench.load.core.histogram import Histogram
from trunkline_cli.bench.load.core.records import ConversationRecord, TurnRecord, errors_by_code

MAX_ERROR_SAMPLES: Final = 5


class StoredHistogram(msgspec.Struct, frozen=True):
    """A histogram as text."""

    max_ms: float
    counts: str
    """Version 2 of HdrHistogram, compressed, base64; values in microseconds."""

    @classmethod
    def of(cls, histogram: Histogram) -> StoredHistogram:
        """Return the text form of a histogram."""
        return cls(round(histogram.max_ms, 3), histogram.encode())

    def histogram(self) -> Histogram:
        """Read it; raise `HistogramError` if the text is damaged."""
        return Histogram.decode(self.counts, self.max_ms)


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of turns and of violations."""

    turns: int = 0
    accepted: int = 0
    answered: int = 0
    lost: int = 0
    """Accepted, but not answered."""
    duplicated: int = 0
    misordered: int = 0
    refused: int = 0
    """Turns that the suite refused with `unavailable`, after all attempts."""
    refusals: int = 0
    """Error frames with `unavailable` for a message."""
    retried: int = 0
    """Repetitions of refused messages."""
    skipped: int = 0
    """Turns that were not sent because every conversation was waiting for too long."""
    delayed: int = 0
    """Turns that were sent late because every conversation was waiting."""
    without_model_time: int = 0
    """Answered turns whose overhead is unknown, because their trace was not read."""
    replaced: int = 0
    """Conversations that were opened in place of ended ones."""

    def __add__(self, other: Counts) -> Counts:
        """Return the sums."""
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})


class PhaseTally(msgspec.Struct, frozen=True, kw_only=True):
    """The turns of one phase of the profile."""

    turns: int
    answered: int
    refused: int
    skipped: int
    histograms: dict[str, StoredHistogram]
    """By measure, see `MEASURES`."""


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one generator process, or of several."""

    counts: Counts
    phases: list[PhaseTally]
    errors: dict[str, int]
    error_samples: list[str]
    cpu_s: float
    """CPU seconds of the generators."""
    rss_mib: float


def _less(total: float | None, own: float | None) -> float | None:
    return None if total is None or own is None else total - own


MEASURES: Final[Mapping[str, Callable[[TurnRecord], float | None]]] = {
    "overhead": lambda turn: _less(turn.response_ms, turn.model_ms),
    "overhead_from_sent": lambda turn: _less(turn.response_from_sent_ms, turn.model_ms),
    "first_token": lambda turn: turn.first_token_ms,
    "first_token_overhead": lambda turn: (
        None if turn.model_ms is None else _less(turn.first_token_ms, turn.model_first_token_ms)
    ),
    "response": lambda turn: turn.response_ms,
    "response_from_sent": lambda turn: turn.response_from_sent_ms,
}
"""Durations in milliseconds; overhead is the time less the model's own time."""


def tally(
    records: Sequence[ConversationRecord],
    *,
    skipped: Sequence[int],
    delayed: int = 0,
    replaced: int = 0,
    cpu_s: float = 0.0,
    rss_mib: float = 0.0,
) -> Tally:
    """Count the records of a process; `skipped` has the number of skipped turns by phase."""
    turns = [turn for record in records for turn in record.turns if turn.phase is not None]
    by_phase: list[list[TurnRecord]] = [[] for _ in skipped]
    for turn in turns:
        by_phase[turn.phase or 0].append(turn)
    answered = [turn for turn in turns if turn.answered_at is not None]
    counts = Counts(
        turns=len(turns),
        accepted=sum(turn.accepted_at is not None for turn in turns),
        answered=len(answered),
        lost=sum(turn.accepted_at is not None and turn.answered_at is None for turn in turns),
        duplicated=sum(record.duplicated for record in records),
        misordered=sum(record.misordered for record in records),
        refused=sum(turn.is_refused for turn in turns),
        refusals=sum(record.refusals for record in records),
        retried=sum(turn.attempts - 1 for turn in turns),
        skipped=sum(skipped),
        delayed=delayed,
        without_model_time=sum(turn.model_ms is None for turn in answered),
        replaced=replaced,
    )
    samples = (f"{code}: {message}" for record in records for code, message in record.errors)
    return Tally(
        counts=counts,
        phases=[_phase(*each) for each in zip(by_phase, skipped, strict=True)],
        errors=dict(errors_by_code(records)),
        error_samples=list(islice(samples, MAX_ERROR_SAMPLES)),
        cpu_s=cpu_s,
        rss_mib=rss_mib,
    )


def _phase(turns: Sequence[TurnRecord], skipped: int) -> PhaseTally:
    histograms = {}
    for name, measure in MEASURES.items():
        values = (measure(turn) for turn in turns)
        histograms[name] = StoredHistogram.of(Histogram.of(value for value in values if value is not None))
    return PhaseTally(
        turns=len(turns),
        answered=sum(turn.answered_at is not None for turn in turns),
        refused=sum(turn.is_refused for turn in turns),
        skipped=skipped,
        histograms=histograms,
    )


def merge(tallies: Sequence[Tally]) -> Tally:
    """Add up the tallies of all processes, at least one, of one profile."""
    errors: dict[str, int] = {}
    for code, count in (item for each in tallies for item in each.errors.items()):
        errors[code] = errors.get(code, 0) + count
    return Tally(
        counts=sum((each.counts for each in tallies), Counts()),
        phases=[_merge_phases(phases) for phases in zip(*(each.phases for each in tallies), strict=True)],
        errors=errors,
        error_samples=[sample for each in tallies for sample in each.error_samples][:MAX_ERROR_SAMPLES],
        cpu_s=sum(each.cpu_s for each in tallies),
        rss_mib=sum(each.rss_mib for each in tallies),
    )


def _merge_phases(phases: Sequence[PhaseTally]) -> PhaseTally:
    return PhaseTally(
        turns=sum(phase.turns for phase in phases),
        answered=sum(phase.answered for phase in phases),
        refused=sum(phase.refused for phase in phases),
        skipped=sum(phase.skipped for phase in phases),
        histograms={name: StoredHistogram.of(merged(phase.histograms[name] for phase in phases)) for name in MEASURES},
    )


def merged(stored: Iterable[StoredHistogram]) -> Histogram:
    """Add up histograms."""
    total = Histogram()
    for each in stored:
        total.add(each.histogram())
    return total
