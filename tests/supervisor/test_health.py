"""Health verdicts on services and servers. Pure."""

from __future__ import annotations

from hypothesis import given, strategies as st
from trunkline_supervisor.core.health import (
    FROZEN_AFTER_S,
    HEARTBEAT_LATE_S,
    PARTITIONED_AFTER_S,
    START_TIMEOUT_S,
    STOP_TIMEOUT_S,
    HealthSignals,
    assess,
    assess_server,
)


def signals(
    *,
    running_s: float = 300.0,
    heartbeat_age_s: float | None = 0.5,
    unanswered_s: float = 0.0,
    peers_alive: bool = True,
    stopping_s: float = 0.0,
) -> HealthSignals:
    return HealthSignals(running_s, heartbeat_age_s, unanswered_s, peers_alive, stopping_s)


def test_process_is_frozen_if_neither_heartbeats_nor_answers_arrive() -> None:
    """One symptom alone does not replace a process."""
    assert assess(signals()) == "healthy"
    assert assess(signals(heartbeat_age_s=HEARTBEAT_LATE_S + 0.1)) == "probe"
    assert assess(signals(heartbeat_age_s=FROZEN_AFTER_S, unanswered_s=FROZEN_AFTER_S)) == "frozen"
    assert assess(signals(heartbeat_age_s=1.0, unanswered_s=60.0)) == "healthy"


def test_process_that_reports_stopping_and_does_not_end_is_replaced() -> None:
    """It has heartbeats and answers probes, but no longer works; draining gets its full timeout."""
    assert assess(signals(stopping_s=STOP_TIMEOUT_S)) == "healthy"
    assert assess(signals(stopping_s=STOP_TIMEOUT_S + 0.1)) == "stop_timeout"


@given(heartbeat_age_s=st.floats(0, 10_000), running_s=st.floats(0, 10_000))
def test_outage_of_nats_replaces_no_process_that_answers(heartbeat_age_s: float, running_s: float) -> None:
    """No heartbeat of any process arrives then, and every process answers its probe."""
    seen = signals(heartbeat_age_s=heartbeat_age_s, running_s=running_s, unanswered_s=0.0, peers_alive=False)
    assert assess(seen) in {"healthy", "probe"}


def test_process_that_answers_without_heartbeats_while_peers_have_them_is_partitioned() -> None:
    """The timeout is longer than any reconnection."""
    assert assess(signals(heartbeat_age_s=PARTITIONED_AFTER_S - 1)) == "probe"
    assert assess(signals(heartbeat_age_s=PARTITIONED_AFTER_S + 1)) == "partitioned"


def test_start_has_a_timeout_of_its_own() -> None:
    """A process without any heartbeat is replaced only after the start timeout."""
    assert assess(signals(heartbeat_age_s=None, running_s=START_TIMEOUT_S - 1)) == "healthy"
    assert assess(signals(heartbeat_age_s=None, running_s=START_TIMEOUT_S + 1)) == "start_timeout"
    assert assess(signals(heartbeat_age_s=None, running_s=START_TIMEOUT_S + 1, peers_alive=False)) == "healthy"


def test_server_is_replaced_after_its_timeout() -> None:
    """Not before."""
    assert assess_server(unanswered_s=2.4, timeout_s=2.5) == "probe"
    assert assess_server(unanswered_s=2.5, timeout_s=2.5) == "frozen"
