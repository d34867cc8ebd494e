"""Status of all nodes: the reports of their supervisors, and heartbeats where no supervisor reports a process."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from trunkline_protocols.permissions import SERVICES
from trunkline_protocols.presence import (
    HEALTHY_STATES,
    HEARTBEAT_TIMEOUT_S,
    SUPERVISOR,
    LastHeartbeat,
    ProcessStatus,
    SuiteStatus,
)


def merge_status(
    reports: Sequence[SuiteStatus], heartbeats: Sequence[LastHeartbeat], specialties: Collection[str]
) -> SuiteStatus:
    """Return one status: processes in the order of the reports, then those without a supervisor, by name.

    It is ready if every process is, and every service and each of the `specialties` has a process.
    """
    reported = [process for report in reports for process in report.processes]
    known = {process.instance for process in reported}
    unreported = [_from_heartbeat(heartbeat) for heartbeat in heartbeats if heartbeat.presence.instance not in known]
    processes = sorted([*reported, *sorted(unreported, key=lambda process: process.name)], key=lambda each: each.node)
    missing = _missing(heartbeats, specialties)
    ready = not missing and all(process.state in HEALTHY_STATES for process in processes)
    return SuiteStatus(ready=ready, processes=processes, missing=missing)


def _from_heartbeat(heartbeat: LastHeartbeat) -> ProcessStatus:
    presence, reason = heartbeat.presence, ""
    if not _is_fresh(heartbeat):
        reason = f"no heartbeat for {heartbeat.age_s:.0f} s"
    elif presence.service == SUPERVISOR:
        reason = "it does not report its processes"
    return ProcessStatus(
        name=presence.instance,
        service=presence.service,
        instance=presence.instance,
        pid=presence.pid,
        state="failed" if reason else presence.state,
        restarts=0,
        version=presence.version,
        queue_depth=presence.queue_depth,
        p50_ms=presence.p50_ms,
        p95_ms=presence.p95_ms,
        detail=presence.detail | ({"reason": reason} if reason else {}),
        node=presence.node,
    )


def _missing(heartbeats: Sequence[LastHeartbeat], specialties: Collection[str]) -> list[str]:
    """Return the services without a ready process, and specialties without one as `agents-<specialty>`."""
    ready = [each.presence for each in heartbeats if each.presence.state == "ready" and _is_fresh(each)]
    services = {presence.service for presence in ready}
    served = {specialty for presence in ready for specialty in presence.specialties}
    return [
        *(service for service in SERVICES if service not in {SUPERVISOR, "agents", *services}),
        *(f"agents-{specialty}" for specialty in sorted(specialties) if specialty not in served),
    ]


def _is_fresh(heartbeat: LastHeartbeat) -> bool:
    return heartbeat.age_s < HEARTBEAT_TIMEOUT_S
