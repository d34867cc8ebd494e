"""Result files and pictures of load runs: complete, readable as SVG, within their borders. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, strategies as st
from trunkline_cli.bench.load.core.charts.axes import Axis, linear_axis, log_axis, percentile_axis
from trunkline_cli.bench.load.core.charts.load_plot import MAX_FILES, load_plot
from trunkline_cli.bench.load.core.charts.panels import PANEL_HEIGHT, WIDTH, Bar, Line, bar_panel, line_panel, picture
from trunkline_cli.bench.load.core.histogram import Histogram
from trunkline_cli.bench.load.core.results import (
    LoadFile,
    MachineFacts,
    ResultError,
    decode_file,
    encode_file,
    file_name,
)
from trunkline_cli.bench.load.core.tally import StoredHistogram
from trunkline_cli.bench.load.plot_command import plot, read_result
from trunkline_cli.errors import CommandError

SVG = "{http://www.w3.org/2000/svg}"


def result(
    note: str = "", *, rate: float = 50.0, values: Sequence[float] = (5.0, 9.0, 700.0), **report: Any
) -> LoadFile:
    """Return a result of some overheads."""
    given: dict[str, Any] = {
        "turns": len(values),
        "conversations": 10,
        "rate": rate,
        **dict.fromkeys(("lost", "duplicated", "misordered", "errors", "refused"), 0),
        "cpu_ms_per_turn": {"total": 12.0, "nats": 4.0, "agents": 8.0},
        "client_cpu_ms_per_turn": 1.5,
    }
    return LoadFile(
        at="2026-11-28T06:30:00Z",
        commit="0123456789ab",
        machine=MachineFacts(cores=2, model="A processor"),
        suite={"search": "by words only", "models": ["simulated/simulated"]},
        report=given | report,
        histograms={"overhead": StoredHistogram.of(Histogram.of(values))},
        note=note,
    )


def texts(svg: str) -> list[str]:
    """Return the texts of a picture."""
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314 - our own


def test_file_is_read_as_it_was_written() -> None:
    """Named by time and commit, so that names are in the order of runs."""
    file = result("a")
    assert decode_file(encode_file(file)) == file
    assert file_name(file) == "20261128T063000Z-0123456789ab.json"
    assert result().name == "2026-11-28 0123456789ab"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not a result"),
        (b"{}", "not a result"),
        (encode_file(result()).replace(b"trunkline-load-1", b"trunkline-load-2"), "format trunkline-load-2"),
    ],
)
def test_other_files_are_refused(raw: bytes, message: str) -> None:
    """With the reason, and the file by the command."""
    with pytest.raises(ResultError, match=message):
        decode_file(raw)


def test_command_names_the_file(tmp_path: Path) -> None:
    """An absent and a damaged one; a picture is written."""
    damaged = tmp_path / "damaged.json"
    damaged.write_text("{", encoding="utf-8")
    for file in (damaged, tmp_path / "absent.json"):
        with pytest.raises(CommandError, match=file.name):
            read_result(file)
    good = tmp_path / "good.json"
    good.write_bytes(encode_file(result("fine")))
    plot([good], tmp_path / "out.svg")
    assert "fine" in texts((tmp_path / "out.svg").read_text(encoding="utf-8"))


def test_one_run_has_percentiles_and_cpu() -> None:
    """Titles, units, the run's name escaped, its figures, the sum of its bar without the generators."""
    shown = texts(load_plot([result("<before> & after")]))
    assert "Percentiles of the overhead (response less the model's own time)" in shown
    assert {"ms", "ms per turn", "share of turns that took at most this long", "generator (apart)"} <= set(shown)
    assert "<before> & after" in shown
    assert "12" in shown
    assert any("p50 9.01, p95 700" in line and "max 700 ms" in line for line in shown)
    assert any("0 lost, 0 duplicated" in line for line in shown)
    assert not any("against rate" in line for line in shown)


def test_runs_of_several_rates_are_shown_against_the_rate() -> None:
    """In the order of rates, whatever the order of files."""
    svg = load_plot([result("b", rate=100.0), result("a", rate=50.0)])
    assert "Overhead (response less the model's own time) against rate" in texts(svg)
    lines = [element.get("points", "") for element in ET.fromstring(svg).iter(f"{SVG}polyline")]  # noqa: S314 - our own
    places = [float(pair.split(",")[0]) for pair in lines[2].split()]
    assert places == sorted(places)
    assert len(places) == 2


def test_run_without_figures_of_the_suite_is_shown() -> None:
    """On another machine no CPU is known, and without traces no overhead."""
    file = result(cpu_ms_per_turn={"total": 0.0})
    histograms = {"response": StoredHistogram.of(Histogram.of([5.0])), "overhead": StoredHistogram.of(Histogram())}
    shown = texts(
        load_plot(
            [LoadFile(**{**{name: getattr(file, name) for name in file.__struct_fields__}, "histograms": histograms})]
        )
    )
    assert "Percentiles of the response" in shown
    assert "CPU by service" not in shown


def test_wrong_numbers_of_runs_are_refused() -> None:
    """None, more than colours, and one without an answer."""
    with pytest.raises(ResultError, match="0 results"):
        load_plot([])
    with pytest.raises(ResultError, match=f"1 to {MAX_FILES}"):
        load_plot([result()] * (MAX_FILES + 1))
    with pytest.raises(ResultError, match="no answered turn"):
        load_plot([result(values=())])


POSITIVE = st.floats(1e-3, 1e7)


@given(POSITIVE, POSITIVE)
def test_axes_keep_order_and_borders(one: float, other: float) -> None:
    """Ticks rise from 0 to 1, and a larger value is never placed before a smaller one."""
    low, high = sorted((one, other))
    axes: list[Axis] = [linear_axis("x", high), log_axis("x", low, high)]
    for axis in axes:
        places = [tick.at for tick in axis.ticks]
        assert places == sorted(places)
        assert places[0] == 0.0
        assert places[-1] == pytest.approx(1.0)
        assert len({tick.label for tick in axis.ticks}) == len(axis.ticks) <= 14
        assert 0.0 <= axis.place(low) <= axis.place(high) <= 1.0


@given(st.integers(0, 10**9))
def test_percentile_axis_ends_at_what_turns_can_show(turns: int) -> None:
    """Each further nine has the same width."""
    axis = percentile_axis("x", turns)
    assert [tick.label for tick in axis.ticks][:6] == ["0 %", "50 %", "75 %", "90 %", "95 %", "99 %"]
    assert axis.place(1.0) == 1.0
    assert axis.place(0.99) == pytest.approx(2 * axis.place(0.9))


@given(st.lists(st.dictionaries(st.text(max_size=5), st.floats(0, 1e6), max_size=5), min_size=1, max_size=8))
def test_everything_lies_within_the_picture(parts: list[dict[str, float]]) -> None:
    """Bars and lines of any size and name."""
    bars = [Bar(str(number), each) for number, each in enumerate(parts)]
    points = [(float(at), sum(each.values()) + 1) for at, each in enumerate(parts)]
    lines = line_panel("t", linear_axis("x", 8), log_axis("y", 1, 1e7), [Line("l", points, dashed=True)])
    svg = picture([bar_panel("t", "ms", bars, apart="x", x_label="n"), lines], ["footer"])
    # XML has no control characters at all; names of services and runs have none.
    root = ET.fromstring(re.sub(r"[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]", "", svg))  # noqa: S314 - our own
    for element in root.iter():
        for name, limit in (("x", WIDTH), ("cx", WIDTH), ("y", 2 * PANEL_HEIGHT + 60), ("cy", PANEL_HEIGHT)):
            assert -1 <= float(element.get(name, 0)) <= limit
        assert float(element.get("height", 0)) >= 0
