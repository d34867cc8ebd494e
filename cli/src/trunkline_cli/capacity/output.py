"""Output of `trunkline plan`: tables, or one JSON object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import msgspec
from rich.markup import escape
from rich.table import Table

from trunkline_cli.capacity.core.limits import Limit
from trunkline_cli.capacity.core.plan import REFERENCE_USED, Plan
from trunkline_cli.capacity.core.workload import Workload

_RESOURCES = ("cpu", "memory", "disk", "network")


def plan_json(workload: Workload, plans: Sequence[Plan], currency: str, refusals: Sequence[str]) -> str:
    """Return everything; shares are fractions."""
    document = {
        "workload": asdict(workload),
        "currency": currency,
        "reference_used": REFERENCE_USED,
        "plans": [_plan_object(plan) for plan in plans],
        "does_not_fit": refusals,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def _plan_object(plan: Plan) -> dict[str, Any]:
    limits = [asdict(limit) | {"share": limit.share} for limit in plan.limits]
    totals = {"cores": plan.load.cores, "memory_gib": plan.load.memory_gib, "disk_gib": plan.load.disk_gib}
    return asdict(plan) | {"limits": limits, "load": asdict(plan.load) | totals}


def plan_tables(plans: Sequence[Plan], currency: str) -> Iterator[Table | str]:
    """Yield the nodes of each offer, then the services and the limits of the first one."""
    low, high = REFERENCE_USED
    yield f"Nodes: used in normal operation (reference design: {low:.0%} to {high:.0%}), and after the loss of one"
    yield _nodes(plans, currency)
    load = plans[0].load
    yield (
        f"\nLoad of {plans[0].nodes} {escape(plans[0].offer)}: {load.cores:,.1f} cores, {load.memory_gib:,.1f} GiB of "
        f"memory, {load.disk_gib:,.0f} GiB on disk, {load.network_mbit_per_s:,.1f} Mbit/s"
    )
    yield _services(plans[0])
    yield "\nWhat breaks first"
    yield _limits(plans[0].limits)


def _nodes(plans: Sequence[Plan], currency: str) -> Table:
    table = Table(**_STYLE)
    table.add_column("node")
    for heading in ("nodes", *_RESOURCES, "per month"):
        table.add_column(heading, justify="right")
    table.add_column("limited by")
    for plan in plans:
        shares = [_shares(plan, name) for name in _RESOURCES]
        cost = f"{plan.month:,.0f} {currency}" if currency else "-"
        table.add_row(escape(plan.offer), str(plan.nodes), *shares, escape(cost), plan.limited_by)
    return table


def _shares(plan: Plan, name: str) -> str:
    if name not in plan.used:
        return f"+{plan.extra_disk_gib:,.0f} GiB"
    after = f", {plan.used_after_loss[name]:.0%}" if plan.used_after_loss else ""
    return f"{plan.used[name]:.0%}{after}"


def _services(plan: Plan) -> Table:
    table = Table(**_STYLE)
    table.add_column("service")
    for heading in ("processes", "cores", "memory, MiB"):
        table.add_column(heading, justify="right")
    for name, service in plan.load.services.items():
        table.add_row(name, str(service.processes), f"{service.cores:,.2f}", f"{service.memory_mib:,.0f}")
    return table


def _limits(limits: Sequence[Limit]) -> Table:
    table = Table(**_STYLE)
    table.add_column("limit", overflow="fold")
    table.add_column("used", justify="right")
    table.add_column("needed of", justify="right")
    table.add_column("remedy", overflow="fold")
    for limit in limits:
        share = f"{limit.share:.0%}"
        used = f"[red]{share}[/]" if limit.share > 1 else share
        table.add_row(limit.name, used, f"{limit.needed:,.1f} of {limit.available:,.1f} {limit.unit}", limit.remedy)
    return table


_STYLE: dict[str, Any] = {"box": None, "pad_edge": False}
