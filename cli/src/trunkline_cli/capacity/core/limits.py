"""Limits of the design that no further machine lifts, and how far a workload is from each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trunkline_protocols.ids import SLOTS

from trunkline_cli.capacity.core.load import PROCESS_CORES, Load
from trunkline_cli.capacity.core.workload import Workload

AUDIT_RECORDS_PER_S: Final = 8_245.0
"""Records that PostgreSQL took per second with a million in the table. bench/README.md, Audit."""
RECORDS_PER_TURN: Final = 2.0
MEASURED_TURNS_PER_S: Final = 200.0
"""The highest rate that one inbox and one log were measured with. bench/README.md, Load."""
EMBEDDED_SEARCHES_PER_S: Final = 370.0
"""New questions per second and core with ten thousand passages. bench/README.md, Search."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit: the need of the workload, the supply, and how to pass it."""

    name: str
    needed: float
    available: float
    unit: str
    remedy: str

    @property
    def share(self) -> float:
        """Used share of the limit; over 1 the workload does not fit."""
        return self.needed / self.available


def limits_of(workload: Workload, load: Load) -> list[Limit]:
    """Return all limits, the one that breaks first at the top."""
    rate = workload.turns_per_s
    found = [
        Limit(
            "conversation processes",
            load.services["conversation"].cores / PROCESS_CORES,
            SLOTS,
            "slots",
            "16 slots instead of 8 are a change of the code; regions divide conversations",
        ),
        Limit(
            "archive: one writer",
            rate * RECORDS_PER_TURN,
            AUDIT_RECORDS_PER_S,
            "records/s",
            "a region has an archive of its own",
        ),
        Limit(
            "audit process: one core",
            load.services["audit"].cores,
            PROCESS_CORES,
            "cores",
            "a region has an audit process of its own",
        ),
        Limit(
            "knowledge service: one process with the embedded Milvus",
            rate,
            EMBEDDED_SEARCHES_PER_S,
            "searches/s",
            "a Milvus server, which several processes share",
        ),
        Limit(
            "inbox and log: one leader each, not measured beyond",
            rate,
            MEASURED_TURNS_PER_S,
            "turns/s",
            "measure it on your machines (`trunkline bench load`); regions divide the streams",
        ),
    ]
    return sorted(found, key=lambda limit: -limit.share)
