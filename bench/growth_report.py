"""Tables and pictures of growth, from the result files of its points."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline_cli.bench.load.core.charts.axes import log_axis
from trunkline_cli.bench.load.core.charts.load_plot import GENERATOR, cpu_bar
from trunkline_cli.bench.load.core.charts.panels import Line, bar_panel, line_panel, picture
from trunkline_cli.bench.load.core.results import LoadFile

Points = Sequence[tuple[int, LoadFile]]
"""Size and result, ascending."""

_COLUMNS = ("p50", "p95", "p99")
_MIN_MS = 0.1


def table(label: str, points: Points) -> str:
    """Return a table in Markdown: latency, CPU, messages and memory by size."""
    heads = [label, "turns", "measure", "p50; p95; p99; max, ms", "CPU per turn, ms", "of it the largest three"]
    heads += ["generator, ms", "messages per turn: in; out", "memory, MiB", "lost; doubled; misordered; errors"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---:|' * len(heads)}"]
    return "\n".join([*lines, *(f"| {' | '.join(_row(size, file))} |" for size, file in points)])


def _row(size: int, file: LoadFile) -> list[str]:
    report = file.report
    measure, times = _latency(file)
    services = {name: ms for name, ms in report["cpu_ms_per_turn"].items() if name != "total"}
    largest = sorted(services, key=lambda name: services[name], reverse=True)[:3]
    messages = report.get("messages_per_turn")
    return [
        f"{size:,}",
        f"{report['turns']:,}",
        measure,
        "; ".join(f"{times[name]:.1f}" for name in (*_COLUMNS, "max")),
        f"{report['cpu_ms_per_turn']['total']:.2f}",
        ", ".join(f"{name} {services[name]:.2f}" for name in largest),
        f"{report['client_cpu_ms_per_turn']:.2f}",
        f"{messages['in']['total']:.1f}; {messages['out']['total']:.1f}" if messages else "",
        f"{sum(report['rss_mib'].values()):,.0f}",
        "; ".join(str(report[key]) for key in ("lost", "duplicated", "misordered", "errors")),
    ]


def _latency(file: LoadFile) -> tuple[str, dict[str, float]]:
    """Return overhead if the model's time is known, else the response."""
    overhead = file.report["overhead_ms"]
    return ("overhead", overhead) if overhead else ("response", file.report["response_ms"])


def growth_picture(label: str, points: Points) -> str:
    """Return the picture of a dimension: CPU by service per size, and percentiles against size."""
    bars = [cpu_bar(file, f"{size:,}") for size, file in points]
    times = [(size, _latency(file)) for size, file in points]
    measures = {measure for _, (measure, _) in times}
    lines = [Line(name, [(float(size), values[name]) for size, (_, values) in times]) for name in _COLUMNS]
    values = [max(_MIN_MS, ms) for line in lines for _, ms in line.points]
    x = log_axis(label, points[0][0], max(points[-1][0], points[0][0] + 1))
    y = log_axis("ms", min(values), max(*values, min(values) * 1.1))
    file = points[-1][1]
    machine = f"{file.machine.cores} cores {file.machine.model}; {file.at[:10]}, commit {file.commit}"
    return picture(
        [
            bar_panel("CPU by service", "ms per turn", bars, apart=GENERATOR, x_label=label),
            line_panel(f"Latency: {' or '.join(sorted(measures))}", x, y, lines),
        ],
        [f"{machine}; {file.suite.get('search', '')}; {file.report['rate']:g} turns per second"],
    )
