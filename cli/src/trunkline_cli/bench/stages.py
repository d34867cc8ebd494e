"""`trunkline bench stages`: one turn taken apart, into messages, wake-ups, CPU and time.

The suite is watched idle first, then under a load; the difference, by turn, is what a turn costs. Counts do not depend
on the speed of the machine.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
import msgspec

from trunkline_cli.bench.broker_traffic import BrokerTraffic, Traffic, by_service, open_broker_traffic
from trunkline_cli.bench.load.core.profile import seconds_of
from trunkline_cli.bench.load.file_limit import raise_file_limit
from trunkline_cli.bench.load.generator import open_generator
from trunkline_cli.bench.load.model_times import read_model_times
from trunkline_cli.bench.load.plan import LoadPlan
from trunkline_cli.bench.phases import Phases
from trunkline_cli.bench.stage_times import mean_stage_times
from trunkline_cli.bench.suite_usage import SuiteUsage, read_suite_status, usage_of
from trunkline_cli.settings import ClientSettings

_SETTLE_S: Final = 2.0


class Stages(msgspec.Struct, frozen=True):
    """The report. Idle figures are per second, all others per answered turn and without the idle share."""

    turns: int
    idle_cpu_percent: dict[str, float]
    """Share of one core by service."""
    idle_messages_per_s: dict[str, float]
    """Messages into and out of the servers by service."""
    messages_in: dict[str, float]
    """Messages from the processes of a service to the servers."""
    messages_out: dict[str, float]
    """Messages from the servers to the processes of a service."""
    appended: dict[str, float]
    """Messages appended, by stream."""
    delivered: dict[str, float]
    """Messages delivered to consumers, by stream."""
    wakeups: dict[str, float]
    """Times that the processes of a service were scheduled after they had waited."""
    cpu_ms: dict[str, float]
    stage_ms: dict[str, float]
    """Mean time by stage, in the order of a turn."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """Totals at one time."""

    cpu_s: Mapping[str, float]
    wakeups: Mapping[str, float]
    traffic: Traffic


@dataclass(frozen=True, slots=True)
class Window:
    """Differences between two readings."""

    seconds: float
    cpu_s: Counter[str]
    wakeups: Counter[str]
    traffic: Traffic


async def run_stages(settings: ClientSettings, plan: LoadPlan) -> Stages:
    """Measure a suite on this machine with one generator in this process; idle for as long as under load."""
    raise_file_limit(plan.conversations)
    seconds = seconds_of(plan.phases)
    async with aiohttp.ClientSession() as session:
        usage = usage_of(await read_suite_status(session, settings))
    with Phases() as phases:
        async with open_generator(settings, plan) as generator, open_broker_traffic(settings.data_dir) as broker:
            phases.begin(f"opening {plan.conversations} conversations", plan.conversations)
            await generator.open(phases.advance)
            await asyncio.sleep(_SETTLE_S)
            phases.begin("watching the idle suite", 1)
            start = await _read(usage, broker)
            await asyncio.sleep(seconds)
            calm = await _read(usage, broker)
            phases.begin("sending", seconds)
            await generator.drive(time.monotonic(), phases.advance)
            loaded = await _read(usage, broker)
        records = generator.records
        phases.begin("reading the model's times", len(records))
        traces = await read_model_times(settings, records, on_progress=phases.advance)
    turns = sum(turn.answered_at is not None for record in records for turn in record.turns)
    responses = {
        (record.conversation, turn.id): turn.response_from_sent_ms
        for record in records
        for turn in record.turns
        if turn.response_from_sent_ms is not None
    }
    idle = _difference(calm, start, seconds)
    busy = _difference(loaded, calm, seconds)
    return stages_report(idle, busy, turns, mean_stage_times(traces, responses))


async def _read(usage: SuiteUsage, broker: BrokerTraffic) -> _Reading:
    traffic = await broker.read()
    return _Reading(usage.cpu_s(), usage.wakeups(), traffic)


def _difference(later: _Reading, earlier: _Reading, seconds: float) -> Window:
    return Window(
        seconds,
        Counter(later.cpu_s) - Counter(earlier.cpu_s),
        Counter(later.wakeups) - Counter(earlier.wakeups),
        later.traffic.since(earlier.traffic),
    )


def stages_report(idle: Window, busy: Window, turns: int, stage_ms: dict[str, float]) -> Stages:
    """Return the report of two windows; the idle share of the busy one goes by its seconds."""
    share = busy.seconds / idle.seconds

    def per_turn(
        under_load: Mapping[str, float], at_rest: Mapping[str, float], factor: float = 1.0
    ) -> dict[str, float]:
        found = {
            name: round((under_load.get(name, 0.0) - at_rest.get(name, 0.0) * share) * factor / max(1, turns), 2)
            for name in sorted({*under_load, *at_rest})
        }
        return _with_total({name: value for name, value in found.items() if value})

    received, sent = by_service(busy.traffic.received), by_service(busy.traffic.sent)
    calm_received, calm_sent = by_service(idle.traffic.received), by_service(idle.traffic.sent)
    return Stages(
        turns=turns,
        idle_cpu_percent=_with_total({name: round(100 * cpu / idle.seconds, 2) for name, cpu in idle.cpu_s.items()}),
        idle_messages_per_s=_with_total(
            {name: round(count / idle.seconds, 1) for name, count in (calm_received + calm_sent).items()}
        ),
        messages_in=per_turn(received, calm_received),
        messages_out=per_turn(sent, calm_sent),
        appended=per_turn(busy.traffic.appended, idle.traffic.appended),
        delivered=per_turn(busy.traffic.delivered, idle.traffic.delivered),
        wakeups=per_turn(busy.wakeups, idle.wakeups),
        cpu_ms=per_turn(busy.cpu_s, idle.cpu_s, 1_000.0),
        stage_ms=stage_ms,
    )


def _with_total(values: Mapping[str, float]) -> dict[str, float]:
    return {"total": round(sum(values.values()), 2), **dict(sorted(values.items()))}


def stages_text(stages: Stages) -> Iterable[str]:
    """Return the report as lines: one table by service, one by stream, one by stage."""
    yield f"{stages.turns} turns; per turn, without the share of the idle suite"
    columns = {
        "in": stages.messages_in,
        "out": stages.messages_out,
        "wake-ups": stages.wakeups,
        "CPU ms": stages.cpu_ms,
    }
    yield f"{'service':<14}{''.join(f'{name:>10}' for name in columns)}{'idle %':>10}"
    services = sorted({name for column in columns.values() for name in column} - {"total"})
    for service in (*services, "total"):
        values = "".join(f"{column.get(service, 0.0):>10.2f}" for column in columns.values())
        yield f"{service:<14}{values}{stages.idle_cpu_percent.get(service, 0.0):>10.2f}"
    yield f"{'stream':<20}{'appended':>10}{'delivered':>11}"
    for stream in sorted({*stages.appended, *stages.delivered} - {"total"}):
        yield f"{stream:<20}{stages.appended.get(stream, 0.0):>10.2f}{stages.delivered.get(stream, 0.0):>11.2f}"
    for stage, value in stages.stage_ms.items():
        yield f"{stage:<40}{value:>8.2f} ms"
