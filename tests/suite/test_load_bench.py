"""`trunkline bench load` from two processes on a suite: report, result file, plot."""

from __future__ import annotations

import os
import random
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pytest
from trunkline_cli.bench.load.core.profile import parse_profile
from trunkline_cli.bench.load.core.results import LoadFile, decode_file
from trunkline_cli.bench.load.core.schedule import arrivals

from tests.support.suite import Suite, trunkline

pytestmark = pytest.mark.processes

PROFILE = "ramp:0-8/2s,hold:8/1s"
DIALOGUES = (
    ("I was charged twice for my order, can I get a refund?", "When will my refund be paid to my bank?"),
    ("My thermostat shows the error code E2 on its screen", "How do I change the address of my account?"),
)
OLD_KEYS = {
    *("conversations", "rate", "duration_s", "turns", "accepted", "answered", "lost", "duplicated", "misordered"),
    *("errors", "error_samples", "skipped", "overhead_ms", "first_token_ms", "first_token_overhead_ms", "response_ms"),
    *("cpu_ms_per_turn", "client_cpu_ms_per_turn", "rss_mib"),
}
SERVICES = {"agents", "audit", "conversation", "ingress", "llm_gateway", "nats", "postgres", "rag", "supervisor"}


def bench(suite: Suite, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a bench on the suite."""
    return subprocess.run(
        [trunkline(), "bench", *arguments],
        env={**os.environ, "TRUNKLINE_DATA_DIR": str(suite.data_dir)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_load_of_two_processes_is_reported_and_stored(suite: Suite, tmp_path: Path) -> None:
    """Each turn of the schedule is sent or skipped, none is lost; the file has report and histograms, and is drawn."""
    replay = tmp_path / "replay.jsonl"
    rows = [
        {"conversation": f"c{number}", "turns": [{"turn": at, "text": text} for at, text in enumerate(texts)]}
        for number, texts in enumerate(DIALOGUES)
    ]
    replay.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    results = tmp_path / "results"
    done = bench(
        *(suite, "load", "--url", suite.url, "--processes", "2", "--conversations", "4", "--seed", "5"),
        *("--profile", PROFILE, "--replay", str(replay), "--results", str(results), "--note", "two processes"),
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = msgspec.json.decode(done.stdout)
    assert set(report) >= OLD_KEYS
    expected = len(list(arrivals(parse_profile(PROFILE), "poisson", random.Random(5))))  # noqa: S311 - load
    assert report["turns"] + report["skipped"] == expected
    assert report["answered"] == report["accepted"] == report["turns"] > 0
    found = {key: report[key] for key in ("lost", "duplicated", "misordered", "errors", "refused")}
    assert set(found.values()) == {0}, report["error_samples"]
    assert set(report["cpu_ms_per_turn"]) == SERVICES | {"total"}
    assert set(report["rss_mib"]) == SERVICES
    assert report["messages_per_turn"]["in"]["conversation"] > 0
    assert report["client_cpu_ms_per_turn"] > 0
    assert [phase["phase"] for phase in report["phases"]] == ["ramp:0-8/2s", "hold:8/1s"]
    assert sum(phase["answered"] for phase in report["phases"]) == report["answered"]
    [path] = results.iterdir()
    stored: LoadFile = decode_file(path.read_bytes())
    assert stored.report == report
    assert stored.commit in path.name
    assert stored.histograms["overhead"].histogram().count == report["answered"] - report["without_model_time"]
    assert stored.suite["replicas"] == {"INBOX": 1, "CONVERSATIONS": 1}
    assert stored.suite["processes"]["nats"] == 1
    assert str(tmp_path) not in path.read_text()
    drawn = bench(suite, "plot", str(path), "-o", str(tmp_path / "load.svg"))
    assert drawn.returncode == 0, drawn.stderr
    assert "two processes" in (tmp_path / "load.svg").read_text(encoding="utf-8")


def test_too_many_conversations_for_this_machine_are_refused(suite: Suite) -> None:
    """One line, before a socket is opened."""
    done = bench(suite, "load", "--url", suite.url, "--conversations", "9000000", "--processes", "64")
    assert done.returncode == 1
    assert done.stderr.startswith("trunkline: ")
    assert done.stderr.count("\n") == 1
    assert "9000000 conversations" in done.stderr or "open files" in done.stderr


def test_options_that_exclude_each_other_are_refused(suite: Suite) -> None:
    """Before anything is sent."""
    cases = {
        ("--profile", "hold:1/1s", "--rate", "3"): "--profile has rates and durations",
        ("--profile", "wave"): "--profile: phase 1, 'wave'",
        ("--texts", "a", "--replay", "b"): "--texts and --replay",
    }
    outputs = {options: bench(suite, "load", "--url", suite.url, *options).stderr for options in cases}
    assert list(chain(*(outputs[options].splitlines()[1:] for options in cases))) == []
    assert all(message in outputs[options] for options, message in cases.items()), outputs
