"""A load run: its limits, its generator processes, and the use of the suite's machine meanwhile."""

from __future__ import annotations

import resource
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
from trunkline_protocols.presence import SuiteStatus

from trunkline_cli.bench.broker_traffic import BrokerTraffic, Traffic, by_service, open_broker_traffic
from trunkline_cli.bench.load.core.limits import LimitError, Machine, check_files, source_addresses
from trunkline_cli.bench.load.core.report import RequestedLoad, ServiceUsage, load_report
from trunkline_cli.bench.load.core.tally import Tally, merge
from trunkline_cli.bench.load.plan import LoadPlan
from trunkline_cli.bench.load.processes import start_generators
from trunkline_cli.bench.phases import Phases
from trunkline_cli.bench.suite_usage import SuiteUsage, read_suite_status, usage_of
from trunkline_cli.errors import CommandError
from trunkline_cli.settings import ClientSettings

_PORT_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TURN_STREAMS: Final = ("INBOX", "CONVERSATIONS")
_DEFAULT_PORTS: Final = 16_384
"""Of systems without that file: 49152 to 65535."""


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A finished run: its report, the merged result, and the suite's configuration."""

    report: dict[str, Any]
    result: Tally
    suite: dict[str, Any]


async def run_load(settings: ClientSettings, plan: LoadPlan) -> FinishedRun:
    """Run the plan; raise `CommandError` if this machine or the suite cannot take it."""
    plan = within_limits(settings, plan, _machine())
    async with aiohttp.ClientSession() as session:
        status = await read_suite_status(session, settings)
    usage = usage_of(status)
    with Phases() as phases:
        async with start_generators(plan, phases) as generators, _open_broker(settings) as broker:
            await generators.prepare(settings)
            replicas = await broker.replicas() if broker is not None else {}
            before = await _read(usage, broker)
            await generators.drive()
            after = await _read(usage, broker)
            rss_mib = usage.rss_mib()
            tallies = await generators.finish()
    traffic = after.traffic.since(before.traffic)
    result = merge(tallies)
    load = RequestedLoad(
        conversations=plan.conversations,
        processes=plan.processes,
        arrivals=plan.arrivals,
        phases=plan.phases,
        active=plan.active,
        warm_up=plan.warm_up,
    )
    cpu_s = {service: max(0.0, total - before.cpu_s.get(service, 0.0)) for service, total in after.cpu_s.items()}
    report = load_report(
        load, result, ServiceUsage(cpu_s, rss_mib, by_service(traffic.received), by_service(traffic.sent))
    )
    async with aiohttp.ClientSession() as session:
        suite = _configuration(await read_suite_status(session, settings))
    return FinishedRun(
        report, result, suite | {"replicas": {name: replicas[name] for name in _TURN_STREAMS if name in replicas}}
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    cpu_s: dict[str, float]
    traffic: Traffic


async def _read(usage: SuiteUsage, broker: BrokerTraffic | None) -> _Reading:
    traffic = await broker.read_clients() if broker is not None else Traffic()
    return _Reading(usage.cpu_s(), traffic)


@asynccontextmanager
async def _open_broker(settings: ClientSettings) -> AsyncIterator[BrokerTraffic | None]:
    """Yield access to the servers' figures; None for a suite whose data folder has none."""
    async with AsyncExitStack() as stack:
        try:
            broker = await stack.enter_async_context(open_broker_traffic(settings.data_dir))
        except CommandError:
            broker = None
        yield broker


# -- limits ---


def within_limits(settings: ClientSettings, plan: LoadPlan, machine: Machine) -> LoadPlan:
    """Return the plan with the local addresses that it needs; raise `CommandError` if this machine has too few."""
    urls = plan.ingresses or (settings.url,)
    hosts = [urlsplit(url).netloc for url in urls]
    try:
        check_files(plan.conversations, plan.processes, machine)
        sources = source_addresses(plan.conversations, hosts=hosts, given=plan.sources, machine=machine)
    except LimitError as error:
        raise CommandError(str(error)) from error
    return msgspec.structs.replace(plan, sources=sources)


def _machine() -> Machine:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        first, last = _PORT_RANGE.read_text(encoding="ascii").split()
        ports = int(last) - int(first) + 1
    except (OSError, ValueError):
        ports = _DEFAULT_PORTS
    return Machine(
        local_ports=ports,
        open_files=None if hard == resource.RLIM_INFINITY else hard,
        has_loopback_network=sys.platform == "linux",
    )


# -- configuration ---


def _configuration(status: SuiteStatus) -> dict[str, Any]:
    """Return the suite's configuration as far as its processes report it."""
    details = {name: text for process in status.processes for name, text in process.detail.items()}
    return {
        "version": sorted({process.version for process in status.processes if process.version}),
        "nodes": len({process.node for process in status.processes}),
        "processes": dict(sorted(Counter(process.service for process in status.processes).items())),
        "search": details.get("search", ""),
        "models": sorted(
            {name for process in status.processes if process.service == "llm_gateway" for name in process.detail}
        ),
    }
