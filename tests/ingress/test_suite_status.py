"""Status of all nodes from supervisors' reports and heartbeats."""

from __future__ import annotations

from trunkline_ingress.core.readiness import absent_parts, degraded_parts
from trunkline_ingress.core.suite_status import merge_status
from trunkline_protocols.permissions import SERVICES
from trunkline_protocols.presence import LastHeartbeat, Presence, ProcessState, ProcessStatus, SuiteStatus


def heartbeat(
    service: str, node: str, *, age_s: float = 0.5, state: ProcessState = "ready", specialty: str = "triage"
) -> LastHeartbeat:
    """Return the last heartbeat of the only process of a service on a node."""
    presence = Presence(
        service=service,
        instance=f"{service}-1-{node}",
        pid=7,
        state=state,
        version="1.0.0",
        node=node,
        started_at=0.0,
        at=0.0,
        specialties=[specialty] if service == "agents" else [],
    )
    return LastHeartbeat(presence, age_s)


def node_of_everything(node: str) -> list[LastHeartbeat]:
    """Return the heartbeats of a node that has every service."""
    return [heartbeat(service, node) for service in SERVICES]


def report(node: str, *services: str) -> SuiteStatus:
    """Return a supervisor's report with one process per service."""
    processes = [
        ProcessStatus(
            name=f"{service}-1",
            service=service,
            instance=f"{service}-1-{node}",
            pid=7,
            state="ready",
            restarts=2,
            node=node,
        )
        for service in services
    ]
    return SuiteStatus(ready=True, processes=processes)


def test_suite_without_a_supervisor_is_shown_by_heartbeats() -> None:
    """Containers and systemd units have none."""
    heartbeats = [each for each in node_of_everything("a") if each.presence.service != "supervisor"]
    status = merge_status([], heartbeats, ["triage"])
    assert status.ready
    assert {process.service for process in status.processes} == set(SERVICES) - {"supervisor"}


def test_report_of_a_supervisor_goes_before_heartbeats() -> None:
    """It knows restarts, and servers without heartbeats; no process is shown twice."""
    status = merge_status([report("a", *SERVICES, "nats")], node_of_everything("a"), ["triage"])
    assert len(status.processes) == len(SERVICES) + 1
    assert {process.restarts for process in status.processes} == {2}


def test_nodes_are_shown_together() -> None:
    """One with a supervisor and one without, by node."""
    heartbeats = [*node_of_everything("b"), *node_of_everything("a")[:-1]]
    status = merge_status([report("b", *SERVICES)], heartbeats, ["triage"])
    assert [process.node for process in status.processes] == ["a"] * (len(SERVICES) - 1) + ["b"] * len(SERVICES)
    assert status.ready


def test_lost_process_is_shown_as_failed() -> None:
    """Its heartbeats have stopped without a farewell, as on a node that lost its power."""
    lost = heartbeat("rag", "b", age_s=12.2)
    status = merge_status([report("a", *SERVICES)], [*node_of_everything("a"), lost], ["triage"])
    assert not status.ready
    assert [(each.instance, each.detail) for each in status.processes if each.state == "failed"] == [
        ("rag-1-b", {"reason": "no heartbeat for 12 s"})
    ]


def test_supervisor_that_does_not_report_is_not_ready() -> None:
    """Its servers are not known, so the suite is not either."""
    status = merge_status([], node_of_everything("a"), ["triage"])
    assert [each.service for each in status.processes if each.state == "failed"] == ["supervisor"]
    assert not status.ready


def test_service_without_a_ready_process_is_named() -> None:
    """A specialty of the fleet counts like a service."""
    heartbeats = [
        heartbeat("rag", "a", state="starting") if each.presence.service == "rag" else each
        for each in node_of_everything("a")
    ]
    status = merge_status([], heartbeats, ["billing", "triage"])
    assert not status.ready
    assert status.missing == ["rag", "agents-billing"]


def test_standby_is_healthy_but_replaces_no_process_that_serves() -> None:
    """With both, nothing is missing; with the standby alone, the knowledge service is, and answers go on without it."""
    heartbeats = [each for each in node_of_everything("a") if each.presence.service != "supervisor"]
    standby = heartbeat("rag", "b", state="standby")
    assert merge_status([], [*heartbeats, standby], ["triage"]).ready
    assert degraded_parts(each.presence for each in [*heartbeats, standby]) == []
    left = [*(each for each in heartbeats if each.presence.service != "rag"), standby]
    assert merge_status([], left, ["triage"]).missing == ["rag"]
    assert degraded_parts(each.presence for each in left) == ["rag"]
    assert absent_parts([], [each.presence for each in left]) == []
