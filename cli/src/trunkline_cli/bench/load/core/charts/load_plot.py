"""Picture of load runs: percentiles of the overhead, percentiles against the rate, CPU by service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from trunkline_cli.bench.load.core.charts.axes import linear_axis, log_axis, number_text, percentile_axis
from trunkline_cli.bench.load.core.charts.panels import COLOURS, Bar, Line, bar_panel, line_panel, picture
from trunkline_cli.bench.load.core.histogram import Histogram, HistogramError
from trunkline_cli.bench.load.core.results import LoadFile, ResultError

GENERATOR: Final = "generator (apart)"
MAX_FILES: Final = len(COLOURS)
_MIN_MS: Final = 0.1
_MEASURE: Final = "overhead"
_FALLBACK: Final = "response"
"""Without the model's time."""


def load_plot(files: Sequence[LoadFile]) -> str:
    """Return the picture as SVG, one colour per run.

    Raises:
        ResultError: if there is no file, there are more than colours, or one has no answered turn.

    """
    if not 0 < len(files) <= MAX_FILES:
        raise ResultError(f"{len(files)} results: 1 to {MAX_FILES} can be shown")
    measured = [(file, *_histogram(file)) for file in files]
    measures = {measure for _, measure, _ in measured}
    what = "overhead (response less the model's own time)" if measures == {_MEASURE} else "response"
    panels = [_percentile_panel(what, [(file, histogram) for file, _, histogram in measured])]
    if len({file.report["rate"] for file in files}) > 1:
        panels.append(_rate_panel(what, [(file, histogram) for file, _, histogram in measured]))
    if any(file.report.get("cpu_ms_per_turn", {}).get("total") for file in files):
        panels.append(bar_panel("CPU by service", "ms per turn", [cpu_bar(file) for file in files], apart=GENERATOR))
    return picture(panels, [line for file, _, histogram in measured for line in _footer(file, histogram)])


def cpu_bar(file: LoadFile, name: str = "") -> Bar:
    """Return the bar of a run: services, and the generators on top."""
    services = {service: ms for service, ms in file.report["cpu_ms_per_turn"].items() if service != "total"}
    return Bar(name or file.name, services | {GENERATOR: file.report.get("client_cpu_ms_per_turn", 0.0)})


def _histogram(file: LoadFile) -> tuple[str, Histogram]:
    for measure in (_MEASURE, _FALLBACK):
        stored = file.histograms.get(measure)
        try:
            histogram = stored.histogram() if stored is not None else Histogram()
        except HistogramError as error:
            raise ResultError(f"{file.name}: {error}") from error
        if histogram.count:
            return measure, histogram
    raise ResultError(f"{file.name}: no answered turn")


def _percentile_panel(what: str, runs: Sequence[tuple[LoadFile, Histogram]]) -> str:
    x = percentile_axis("share of turns that took at most this long", max(histogram.count for _, histogram in runs))
    lowest = max(_MIN_MS, min(histogram.percentile_ms(1) for _, histogram in runs))
    y = log_axis("ms", lowest, max(lowest * 1.1, *(histogram.max_ms for _, histogram in runs)))
    lines = [Line(file.name, list(_steps(histogram))) for file, histogram in runs]
    return line_panel(f"Percentiles of the {what}", x, y, lines)


def _rate_panel(what: str, runs: Sequence[tuple[LoadFile, Histogram]]) -> str:
    """Return the percentiles against the mean rate; runs of one rate stand above each other."""
    ordered = sorted(runs, key=lambda run: float(run[0].report["rate"]))
    lines = [
        Line(f"p{percent:g}", [(float(file.report["rate"]), each.percentile_ms(percent)) for file, each in ordered])
        for percent in (50, 95, 99)
    ]
    values = [max(_MIN_MS, ms) for line in lines for _, ms in line.points]
    x = linear_axis("turns per second", max(float(file.report["rate"]) for file, _ in runs))
    y = log_axis("ms", min(values), max(*values, min(values) * 1.1))
    return line_panel(f"{what[0].upper()}{what[1:]} against rate", x, y, lines)


def _footer(file: LoadFile, histogram: Histogram) -> list[str]:
    report, machine = file.report, file.machine
    times = ", ".join(f"p{at:g} {number_text(histogram.percentile_ms(at))}" for at in (50, 95, 99, 99.9))
    faults = ", ".join(f"{report[key]} {key}" for key in ("lost", "duplicated", "misordered", "errors", "refused"))
    suite = " ".join(text for text in (file.suite.get("search", ""), *file.suite.get("models", ())) if text)
    load = f"{report['turns']:,} turns, {report['conversations']:,} conversations, {report['rate']:g}/s"
    return [
        f"{file.name}: {load}; {times}, max {number_text(histogram.max_ms)} ms",
        f"{faults}; {file.at}, commit {file.commit}",
        f"{machine.cores} cores {machine.model}; {suite}",
    ]


def _steps(histogram: Histogram) -> Iterator[tuple[float, float]]:
    """Yield the curve as steps: each duration from the share of shorter ones to its own."""
    before = 0.0
    for ms, share in histogram.cumulative():
        yield before, ms
        yield share, ms
        before = share
