"""The number of nodes that carries a workload, also without one of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from trunkline_cli.capacity.core import volumes
from trunkline_cli.capacity.core.limits import Limit, limits_of
from trunkline_cli.capacity.core.load import Load, load_of
from trunkline_cli.capacity.core.prices import NodeOffer
from trunkline_cli.capacity.core.workload import Workload

MAX_NODES: Final = 2_000
MAX_SHARES: Final = {"cpu": 0.7, "memory": 0.8, "disk": 0.7, "network": 0.5}
"""Share of each resource that may be used after the loss of a node."""

REFERENCE_USED: Final = (0.3, 0.4)
"""Utilisation of a node in normal operation that the reference design states."""


class PlanError(ValueError):
    """No number of nodes carries the workload."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Nodes of one kind, their load, and their cost."""

    offer: str
    nodes: int
    limited_by: str
    """The resource that fixes the number of nodes, or the number of copies."""
    load: Load
    used: dict[str, float]
    """Used share of each resource of a node in normal operation."""
    used_after_loss: dict[str, float]
    """The same after the loss of a node; a plan of one node has no rest."""
    extra_disk_gib: float
    month: float
    limits: list[Limit]


def plan_for(workload: Workload, offer: NodeOffer) -> Plan:
    """Return the smallest number of nodes; raises `PlanError`.

    With copies, the nodes that remain after the loss of one carry the whole load. The load grows with the nodes, as
    each has processes of its own, so that the search starts from the fewest.
    """
    fewest = workload.replicas
    archive_gib, room_gib = volumes.archive_gib(workload), offer.disk_gib * MAX_SHARES["disk"]
    if offer.disk_gib_month is None and archive_gib > room_gib:
        raise PlanError(
            f"{offer.name!r}: the archive of {archive_gib:,.0f} GiB must fit on one node, which has room for "
            f"{room_gib:,.0f} GiB: keep it for a shorter time, or on larger disks"
        )
    limiting = f"{workload.replicas} copies" if workload.replicas > 1 else "one node without copies"
    for nodes in range(fewest, MAX_NODES + 1):
        load = load_of(workload, nodes)
        rest = used_shares(load, offer, nodes, max(1, nodes - 1) if workload.replicas > 1 else nodes)
        over = {name: used / MAX_SHARES[name] for name, used in rest.items() if used > MAX_SHARES[name]}
        if not over:
            return _plan(workload, offer, nodes, limiting, load, rest)
        limiting = max(over, key=over.__getitem__)
    raise PlanError(f"{offer.name!r}: more than {MAX_NODES} nodes would be needed: {limiting}")


def used_shares(load: Load, offer: NodeOffer, nodes: int, alive: int) -> dict[str, float]:
    """Return the used shares if `alive` of the nodes carry the load; their disks hold the same data as before.

    The disk is that of a node with a copy of the archive.
    """
    used = {
        "cpu": load.cores / (alive * offer.threads * offer.speed),
        "memory": load.memory_gib / (alive * offer.memory_gib),
        "network": load.network_mbit_per_s / (alive * offer.network_mbit_per_s),
    }
    if offer.disk_gib_month is None:
        used["disk"] = (load.streams_gib * load.copies / nodes + load.archive_gib) / offer.disk_gib
    return used


def _plan(workload: Workload, offer: NodeOffer, nodes: int, limiting: str, load: Load, rest: dict[str, float]) -> Plan:
    extra_gib = 0.0
    if offer.disk_gib_month is not None:
        needed_gib = load.disk_gib / MAX_SHARES["disk"]
        extra_gib = math.ceil(max(0.0, needed_gib - nodes * offer.disk_gib))
    month = nodes * offer.month + extra_gib * (offer.disk_gib_month or 0.0)
    return Plan(
        offer=offer.name,
        nodes=nodes,
        limited_by=limiting,
        load=load,
        used=used_shares(load, offer, nodes, nodes),
        used_after_loss=rest if workload.replicas > 1 else {},
        extra_disk_gib=extra_gib,
        month=month + load.egress_gib_per_month * offer.egress_gib,
        limits=limits_of(workload, load),
    )
