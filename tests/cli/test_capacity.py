"""`trunkline plan`: its fit against a run that it does not know, the plan, and bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from trunkline_cli.app import app
from trunkline_cli.capacity.core import fit, measurements
from trunkline_cli.capacity.core.load import load_of, services
from trunkline_cli.capacity.core.measurements import Level
from trunkline_cli.capacity.core.plan import MAX_SHARES, PlanError, plan_for, used_shares
from trunkline_cli.capacity.core.prices import NodeOffer, PriceError, parse_prices
from trunkline_cli.capacity.core.workload import Workload, WorkloadError
from trunkline_cli.errors import CommandError
from typer.testing import CliRunner

EXAMPLE = Path(__file__).parents[2] / "examples" / "prices.toml"
NODE = NodeOffer(
    name="node", threads=16, memory_gib=64, disk_gib=2_000, network_mbit_per_s=10_000, month=100, disk_gib_month=None
)
HYPERSCALER = NodeOffer(
    name="cloud",
    threads=16,
    memory_gib=64,
    disk_gib=10,
    network_mbit_per_s=10_000,
    month=100,
    disk_gib_month=0.1,
    egress_gib=0.05,
)
PROCESSES = {**measurements.SLOW_RUN.processes, "ingress": 2, "llm_gateway": 2}
BEFORE_ADR_0018 = Level(
    source="bench/history/2026-11.md, Load, 2026-11-25, before ADR 0018, two ingresses, two gateways; 1,000; 50/s",
    turns_per_s=50,
    processes=PROCESSES,
    cpu_ms_per_turn=(16.0, 16.1),
)
HELD_OUT_CPU_MS = 8.6
HELD_OUT_RSS_MIB = {
    "agents": 492,
    "ingress": 350,
    "rag": 278,
    "llm_gateway": 131,
    "nats": 110,
    "supervisor": 106,
    "conversation": 100,
    "audit": 75,
    "postgres": 12,
}
"""bench/README.md, Load: 5,000; 200/s; 30 s, 2026-11-25, before ADR 0018. No constant is fitted to this run."""


def test_measured_run_that_was_held_out_is_predicted() -> None:
    """CPU and memory of 5,000 conversations at 200 turns/s within 25 %, from runs of that code at 50 turns/s."""
    workload = Workload(conversations=5_000, turns_per_minute=200 * 60, passages=0, replicas=1, by_meaning=False)
    predicted = services(workload, PROCESSES, fit.level_of(BEFORE_ADR_0018))
    cpu_ms = sum(service.cores for service in predicted.values()) * 1_000 / workload.turns_per_s
    assert cpu_ms == pytest.approx(HELD_OUT_CPU_MS, rel=0.25)
    memory_mib = sum(service.memory_mib for service in predicted.values())
    assert memory_mib == pytest.approx(sum(HELD_OUT_RSS_MIB.values()), rel=0.25)
    for name, mib in HELD_OUT_RSS_MIB.items():
        assert predicted[name].memory_mib == pytest.approx(mib, rel=0.25), name


def test_measurements_are_those_of_the_documents() -> None:
    """Every figure of the two runs, of the level and of the run that was held out stands in bench."""
    folder = Path(__file__).parents[2] / "bench"
    readme = (folder / "README.md").read_text(encoding="utf-8")
    history = (folder / "history" / "2026-11.md").read_text(encoding="utf-8")
    for run in (measurements.SLOW_RUN, measurements.FAST_RUN):
        row = " | ".join(f"{ms:.2f}" for ms in run.cpu_ms_per_turn.values())
        assert f"| {run.conversations:,} conversations | {row} |" in history
    assert ", ".join(str(ms) for ms in measurements.PRESENT.cpu_ms_per_turn) in readme
    held_out = next(line for line in readme.splitlines() if line.startswith("| 5,000; 200/s; 30 s, 2026-11-25"))
    assert held_out.endswith(f"| {HELD_OUT_CPU_MS} |")
    assert "agents 492, ingress 350, rag 278, gateway 131, NATS 110, supervisor 106, conversation 100" in readme


@settings(deadline=None)
@given(st.integers(1, 200_000), st.floats(0.1, 90_000), st.sampled_from([1, 3, 5]), st.integers(1, 500))
def test_plan_has_room_for_the_loss_of_a_node(
    conversations: int, turns_per_minute: float, replicas: int, agents: int
) -> None:
    """No resource is used beyond its share by the nodes that remain; one node less would not do."""
    workload = Workload(
        conversations=conversations,
        turns_per_minute=turns_per_minute,
        replicas=replicas,
        agents=agents,
        retention_days=1,
    )
    plan = plan_for(workload, NODE)
    assert plan.nodes >= replicas
    for name, used in (plan.used_after_loss or plan.used).items():
        assert used <= MAX_SHARES[name]
        assert plan.used[name] <= used
    if plan.nodes > replicas:
        nodes = plan.nodes - 1
        fewer = used_shares(load_of(workload, nodes), NODE, nodes, nodes - 1 if replicas > 1 else nodes)
        assert any(used > MAX_SHARES[name] for name, used in fewer.items())


@given(st.integers(1, 100_000), st.floats(1, 100_000))
def test_more_load_never_needs_less(conversations: int, turns_per_minute: float) -> None:
    """Neither more conversations nor more turns lower the load of any service."""
    base = Workload(conversations=conversations, turns_per_minute=turns_per_minute)
    more = Workload(conversations=conversations * 2, turns_per_minute=turns_per_minute * 2)
    before, after = load_of(base, 3), load_of(more, 3)
    assert after.disk_gib > before.disk_gib
    for name, service in before.services.items():
        assert after.services[name].cores >= service.cores
        assert after.services[name].memory_mib >= service.memory_mib


def test_million_conversations_breaks_the_design_before_the_machines() -> None:
    """At a turn per minute and conversation, the first limit is one that nodes do not lift."""
    plan = plan_for(Workload(conversations=1_000_000, turns_per_minute=1_000_000, retention_days=1), HYPERSCALER)
    assert plan.limits[0].share > 1
    assert [limit.share for limit in plan.limits] == sorted((limit.share for limit in plan.limits), reverse=True)


def test_storage_beyond_the_nodes_is_bought() -> None:
    """With a price per GiB, storage is no reason for a node but a part of the cost."""
    workload = Workload(conversations=1_000, turns_per_minute=1_000, retention_days=360)
    with_disks, plan = plan_for(workload, NODE), plan_for(workload, HYPERSCALER)
    assert (with_disks.limited_by, plan.limited_by) == ("disk", "3 copies")
    assert plan.month > plan.nodes * 100 + plan.extra_disk_gib * 0.1
    assert "disk" not in plan.used


def test_archive_must_fit_on_one_node() -> None:
    """More nodes do not help, as it is not divided."""
    with pytest.raises(PlanError, match=r"'node': the archive of .* GiB must fit on one node"):
        plan_for(Workload(conversations=1_000, turns_per_minute=10_000, retention_days=3_650), NODE)


def test_workload_beyond_every_fleet_is_refused() -> None:
    """The error names the resource."""
    with pytest.raises(PlanError, match="'cloud': more than 2000 nodes would be needed: cpu"):
        plan_for(Workload(conversations=100_000_000, turns_per_minute=100_000_000), HYPERSCALER)


# -- the command ---


def run(*arguments: str) -> Any:
    """Run the command and return its result."""
    return CliRunner().invoke(app, ["plan", *arguments])


def test_example_prices_are_planned_with() -> None:
    """The documented file gives a plan per node, as JSON and as tables."""
    arguments = ("--conversations", "5000", "--turns-per-minute", "3000", "--prices", str(EXAMPLE))
    document = json.loads(run(*arguments, "--json").stdout)
    assert document["currency"] == "example coins"
    assert [plan["nodes"] >= 3 for plan in document["plans"]] == [True] * 3
    assert {"cpu", "memory", "network"} <= set(document["plans"][0]["used"])
    table = run(*arguments)
    assert table.exit_code == 0
    for words in ("What breaks first", "limited by", "example coins"):
        assert words in table.stdout


def test_plan_without_prices_has_no_cost() -> None:
    """The currency is empty."""
    document = json.loads(run("--conversations", "100", "--turns-per-minute", "60", "--json").stdout)
    assert (document["currency"], document["plans"][0]["month"]) == ("", 0)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--conversations", "0", "--conversations must be 1 or more"),
        ("--conversations", "-5", "--conversations must be 1 or more"),
        ("--conversations", "1000000000", "at most 1e+08, got 1e+09"),
        ("--turns-per-minute", "0", "--turns-per-minute must be over 0"),
        ("--turns-per-minute", "nan", "--turns-per-minute must be over 0"),
        ("--turns-per-minute", "inf", "got inf"),
        ("--agents", "0", "--agents must be 1 or more"),
        ("--passages", "-1", "--passages must be 0 or more"),
        ("--model-ms", "-1", "--model-ms must be 0 or more"),
        ("--mean-share", "1.5", "--mean-share must be over 0 and at most 1, got 1.5"),
        ("--retention-days", "0", "--retention-days must be over 0"),
        ("--replicas", "2", "--replicas must be one of: 1, 3, 5; got 2"),
    ],
)
def test_number_that_no_workload_has_is_refused(option: str, value: str, message: str) -> None:
    """The error is one line with the option."""
    given = {"--conversations": "10", "--turns-per-minute": "10"} | {option: value}
    result = run(*(word for pair in given.items() for word in pair))
    assert isinstance(result.exception, CommandError)
    assert message in str(result.exception)


GOOD = """
currency = "EUR"
[[node]]
name = "a"
threads = 16
memory_gib = 64
disk_gib = 1000
network_mbit_per_s = 1000
month = 100
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "currency"),
        ("currency = ", "Invalid value"),
        ('currency = "EUR"\nnode = []', "between 1 and 100"),
        (GOOD.replace("threads = 16", 'threads = "16"'), "$.node[0].threads"),
        (GOOD.replace("threads = 16\n", ""), "threads"),
        (GOOD.replace("threads = 16", "threads = 0"), "[[node]] 1: threads must be from 1 to 4096, got 0"),
        (GOOD.replace("month = 100", "month = -1"), "month must be from 0"),
        (GOOD.replace("month = 100", "month = nan"), "month must be from 0"),
        (GOOD.replace("month", "monthly"), "monthly"),
        (GOOD + GOOD.partition("\n[[node]]")[2].join(["[[node]]", ""]), "'a' is there twice"),
        (GOOD.replace('"a"', '"a\\u001b[31m"'), "name must be a line"),
        (GOOD.replace('"EUR"', '" "'), "currency must be a line"),
    ],
)
def test_malformed_price_file_is_refused(text: str, message: str) -> None:
    """The error names the place."""
    assert parse_prices(GOOD).node[0].threads == 16
    with pytest.raises(PriceError) as error:
        parse_prices(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), (b"\xff\xfe", "not UTF-8"), (b"#" * 1_000_001, "larger than"), (b"x", "Expected '='")],
)
def test_price_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    """The error is one line."""
    file = tmp_path / "prices.toml"
    if content is not None:
        file.write_bytes(content)
    result = run("--conversations", "10", "--turns-per-minute", "10", "--prices", str(file))
    assert isinstance(result.exception, CommandError)
    assert str(result.exception).startswith(str(file))
    assert message in str(result.exception)


def test_offer_that_cannot_carry_the_workload_is_named(tmp_path: Path) -> None:
    """The others are planned; without any, it is the error."""
    prices = tmp_path / "prices.toml"
    small = GOOD.partition("\n[[node]]")[2].replace('"a"', '"small"').replace("1000\n", "10\n", 1)
    prices.write_text(f"{GOOD}\n[[node]]{small}")
    arguments = ("--conversations", "10", "--turns-per-minute", "600", "--prices", str(prices))
    document = json.loads(run(*arguments, "--json").stdout)
    assert [plan["offer"] for plan in document["plans"]] == ["a"]
    assert "'small': the archive of" in document["does_not_fit"][0]
    assert "does not fit: 'small'" in run(*arguments).stdout
    prices.write_text(f'currency = "EUR"\n[[node]]{small}')
    assert "'small': the archive of" in str(run(*arguments).exception)


def test_limits_of_a_workload_are_errors() -> None:
    """They are raised where a workload is made."""
    with pytest.raises(WorkloadError, match="--conversations"):
        Workload(conversations=0, turns_per_minute=1)
