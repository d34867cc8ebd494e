"""Growth: the points of every dimension can be started, results are kept over an interrupt, tables and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_cli.bench.load.core.results import encode_file
from trunkline_cli.bench.load.machine import commit_of_code
from trunkline_cli.bench.texts import read_texts
from trunkline_cli.reference.configuration import variables

from bench.growth import file_of, is_stored, points_of, stored_points, write_report
from bench.growth_points import DIMENSIONS, ENVIRONMENT, Dimension
from bench.growth_report import table
from bench.suites import SuiteError
from tests.cli.bench_load.test_charts import SVG, result
from tests.cli.commands import COMMANDS

DOMAINS = {"banking": ["balance", "transfer"], "travel": ["flight", "hotel"], "home": ["light", "music"]}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Public data in small."""
    folder = tmp_path / "data"
    (folder / "routing").mkdir(parents=True)
    (folder / "kb").mkdir()
    lines = [
        {"text": f"please {intent} number {number}", "label": intent}
        for intents in DOMAINS.values()
        for intent in intents
        for number in range(30)
    ]
    rows = "\n".join(map(json.dumps, lines))
    (folder / "routing" / "clinc150.domains.json").write_text(json.dumps(DOMAINS), encoding="utf-8")
    for name in ("clinc150", "banking77"):
        (folder / "routing" / f"{name}.train.jsonl").write_text(rows, encoding="utf-8")
    (folder / "kb" / "tau_banking.documents.jsonl").write_text("", encoding="utf-8")
    return folder


@pytest.mark.parametrize("dimension", DIMENSIONS, ids=lambda dimension: dimension.name)
def test_every_point_has_valid_options(dimension: Dimension, data: Path, tmp_path: Path) -> None:
    """Of the load and of the suite, and settings that exist; texts for the load."""
    load = {option for parameter in COMMANDS["bench", "load"].params for option in parameter.opts}
    up = {option for parameter in COMMANDS["up",].params for option in parameter.opts}
    for size in dimension.sizes:
        folder = tmp_path / str(size)
        folder.mkdir()
        prepared = dimension.prepare(size, data, folder)
        assert {word for word in prepared.load if word.startswith("--")} <= load
        assert {word for word in prepared.options if word.startswith("--")} <= up
        assert set(ENVIRONMENT | dict(prepared.environment)) <= variables()
        given = dict(zip(prepared.load[::2], prepared.load[1::2], strict=True))
        if "--texts" in given:
            assert read_texts(Path(given["--texts"]), folder)


def test_smaller_fleet_has_agents_of_all_domains(data: Path, tmp_path: Path) -> None:
    """Taken in turn, beside reception and complaints; it can be loaded."""
    agents = next(dimension for dimension in DIMENSIONS if dimension.name == "agents")
    agents.prepare(4, data, tmp_path)
    fleet = load_fleet(tmp_path / "fleet")
    names = {agent.name for agent in fleet.agents}
    assert names == {"reception", "complaints", "balance", "flight", "light", "transfer"}


@pytest.mark.parametrize("name", ["agents", "passages"])
def test_point_without_public_data_says_what_it_needs(name: str, tmp_path: Path) -> None:
    """Before a suite is started."""
    dimension = next(dimension for dimension in DIMENSIONS if dimension.name == name)
    with pytest.raises(SuiteError, match="needs TRUNKLINE_DATA"):
        dimension.prepare(5, None, tmp_path)


def test_points_are_selected() -> None:
    """By dimension and by size."""
    assert len(list(points_of([], []))) == sum(len(dimension.sizes) for dimension in DIMENSIONS)
    assert [(dimension.name, size) for dimension, size in points_of(["nodes"], [])] == [("nodes", 1), ("nodes", 3)]
    assert [size for _, size in points_of(["length"], [7, 9])] == [7, 9]


def test_results_of_this_commit_are_kept_and_reported(tmp_path: Path) -> None:
    """Ascending by size; a damaged file, or one of another commit, is measured again."""
    conversations, length = DIMENSIONS[0], DIMENSIONS[1]
    full: dict[str, Any] = {
        "overhead_ms": {"p50": 10.0, "p95": 20.0, "p99": 30.0, "max": 40.0},
        "messages_per_turn": {"in": {"total": 16.9}, "out": {"total": 19.1}},
        "rss_mib": {"nats": 100.0, "agents": 200.0},
    }
    ours = msgspec.structs.replace(result(**full), commit=commit_of_code())
    for dimension, size, file in (
        (conversations, 20_000, ours),
        (conversations, 100, result(**full)),
        (
            length,
            1,
            msgspec.structs.replace(
                ours,
                report=ours.report
                | {"overhead_ms": {}, "response_ms": {"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": 4.0}},
            ),
        ),
    ):
        path = file_of(tmp_path, dimension, size)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode_file(file))
    file_of(tmp_path, length, 10).write_text("{", encoding="utf-8")
    assert [size for size, _ in stored_points(tmp_path, conversations)] == [100, 20_000]
    assert is_stored(tmp_path, conversations, 20_000)
    assert not is_stored(tmp_path, conversations, 100)
    assert not is_stored(tmp_path, length, 10)
    write_report(tmp_path)
    text = (tmp_path / "growth.md").read_text(encoding="utf-8")
    assert "| 20,000 | 3 | overhead | 10.0; 20.0; 30.0; 40.0 | 12.00 | agents 8.00, nats 4.00 | 1.50 |" in text
    assert "| 16.9; 19.1 | 300 | 0; 0; 0; 0 |" in text
    assert "| 1 | 3 | response | 1.0; 2.0; 3.0; 4.0 |" in text
    assert "![open conversations](conversations.svg)" in text
    assert "length.svg" not in text
    root = ET.fromstring((tmp_path / "conversations.svg").read_text(encoding="utf-8"))  # noqa: S314 - our own
    assert {"open conversations", "p95", "20,000"} <= {element.text for element in root.iter(f"{SVG}text")}
    assert table("size", []).count("\n") == 1
