"""Records of turns and the pool of idle conversations: what is lost, refused, late or skipped. Pure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st
from trunkline_cli.bench.load.core.pool import MAX_WAIT_S, IdlePool
from trunkline_cli.bench.load.core.profile import constant
from trunkline_cli.bench.load.core.records import ConversationRecord, TurnRecord
from trunkline_cli.bench.load.core.report import RequestedLoad, ServiceUsage, load_report
from trunkline_cli.bench.load.core.schedule import Arrival
from trunkline_cli.bench.load.core.tally import Tally, merge, tally
from trunkline_protocols.frames import (
    AcceptedFrame,
    ClosedFrame,
    DeltaFrame,
    ErrorCode,
    ErrorFrame,
    MessageFrame,
    StartedFrame,
)


def answer(to: str, seq: int) -> MessageFrame:
    """Return the answer to a message."""
    return MessageFrame(turn="t", seq=seq, text="yes", specialty="billing", agent="a", citations=[], in_reply_to=to)


def error(code: ErrorCode, id_: str) -> ErrorFrame:
    """Return an error for a message."""
    return ErrorFrame(code=code, message="no", retryable=True, id=id_, retry_after_s=1.5)


def started() -> ConversationRecord:
    """Return the record of a new conversation."""
    record = ConversationRecord()
    record.record_frame(StartedFrame(conversation="c1", resume_token="r", seq=1), 0.0)
    return record


def sent(record: ConversationRecord, **fields: Any) -> TurnRecord:
    """Record a message that was sent at second 10."""
    turn = TurnRecord(id=f"m{len(record.turns) + 1}", sent_at=10.0, **fields)
    record.record_sent(turn)
    return turn


def figures(records: list[ConversationRecord], **fields: Any) -> dict[str, Any]:
    """Return the report of some conversations."""
    load = RequestedLoad(conversations=len(records), processes=1, arrivals="steady", phases=constant(1.0, 10.0))
    return load_report(load, tally(records, skipped=[0], **fields), ServiceUsage({"nats": 0.5}, {"nats": 10.0}))


def test_latency_counts_from_the_intended_moment() -> None:
    """Due at 9, sent at 10, answered at 12; the model took 0.5 s."""
    record = started()
    turn = sent(record, due_at=9.0, model_ms=500.0, model_first_token_ms=200.0)
    record.record_frame(AcceptedFrame(id="m1", seq=2), 10.1)
    record.record_frame(DeltaFrame(turn="t", text="y"), 11.0)
    record.record_frame(DeltaFrame(turn="t", text="es"), 11.5)
    record.record_frame(answer("m1", 3), 12.0)
    assert (turn.response_ms, turn.response_from_sent_ms, turn.first_token_ms) == (3000.0, 2000.0, 2000.0)
    report = figures([record])
    assert report["response_ms"]["p50"] == pytest.approx(3000, rel=1e-3)
    assert report["response_from_sent_ms"]["max"] == 2000.0
    assert report["overhead_ms"]["max"] == 2500.0
    assert report["overhead_from_sent_ms"]["max"] == 1500.0
    assert report["first_token_overhead_ms"]["max"] == 1800.0
    assert report["cpu_ms_per_turn"] == {"total": 500.0, "nats": 500.0}


def test_load_that_was_sent_in_time_has_one_latency() -> None:
    """The moment of sending is reported only if it differs."""
    record = started()
    sent(record, due_at=9.9999, model_ms=0.0)
    record.record_frame(answer("m1", 2), 10.5)
    report = figures([record])
    assert {name for name in report if name.endswith("_from_sent_ms")} == set()
    assert set(report["overhead_ms"]) == {"p50", "p90", "p95", "p99", "p99.9", "max"}


def test_refused_message_is_not_lost_and_no_error() -> None:
    """`unavailable` with the id of a message; it may be sent again with the same id."""
    record = started()
    turn = sent(record, model_ms=0.0)
    assert record.record_refusal(error("unavailable", "m1")) is turn
    assert record.is_waiting
    turn.attempts += 1
    assert record.record_refusal(error("unavailable", "m1")) is turn
    turn.is_refused = True
    assert not record.is_waiting
    sent(record, model_ms=0.0)
    record.record_frame(AcceptedFrame(id="m2", seq=2), 10.1)
    record.record_frame(answer("m2", 3), 10.2)
    report = figures([record])
    keys = ("turns", "answered", "lost", "errors", "misordered", "refused", "refusals", "retried")
    assert [report[key] for key in keys] == [2, 1, 0, 0, 0, 1, 2, 1]


def test_other_errors_count_by_code() -> None:
    """A message with an error is awaited no longer; an error without a message settles none."""
    record = started()
    sent(record)
    assert record.record_refusal(error("rate_limited", "m1")) is None
    record.record_frame(error("rate_limited", "m1"), 10.0)
    assert not record.is_waiting
    sent(record)
    record.record_frame(ErrorFrame(code="unavailable", message="service", retryable=True), 10.0)
    assert record.record_refusal(ErrorFrame(code="unavailable", message="service", retryable=True)) is None
    assert record.is_waiting
    report = figures([record])
    assert report["errors_by_code"] == {"rate_limited": 1, "unavailable": 1}
    assert report["errors"] == 2
    assert report["error_samples"][0] == "rate_limited: no"


def test_lost_doubled_and_misordered_are_counted() -> None:
    """Accepted without an answer; an answer twice; a gap in the numbers; answers in the wrong order."""
    record = started()
    sent(record)
    record.record_frame(AcceptedFrame(id="m1", seq=2), 10.0)
    lost = figures([record])
    assert (lost["accepted"], lost["answered"], lost["lost"]) == (1, 0, 1)
    sent(record)
    record.record_frame(answer("m2", 4), 11.0)
    record.record_frame(answer("m2", 4), 11.0)
    record.record_frame(AcceptedFrame(id="m9", seq=5), 11.0)
    record.record_frame(ClosedFrame(seq=6, reason="end"), 11.0)
    report = figures([record])
    # A gap, the answer before that of m1, an unknown message; the number and the answer twice.
    assert (report["misordered"], report["duplicated"]) == (3, 2)
    assert record.is_closed


def test_turns_before_the_load_and_those_without_a_trace_are_left_out() -> None:
    """Overhead is unknown without the model's time: it is not counted as the whole response."""
    record = started()
    sent(record, phase=None, model_ms=1.0)
    record.record_frame(answer("m1", 2), 10.5)
    sent(record)
    record.record_frame(answer("m2", 3), 10.5)
    report = figures([record])
    assert (report["turns"], report["answered"], report["without_model_time"]) == (1, 1, 1)
    assert report["overhead_ms"] == {}
    assert report["response_ms"]["max"] == 500.0


@given(st.lists(st.lists(st.floats(0.0, 50.0), max_size=8), min_size=1, max_size=6), st.integers(1, 6))
def test_merged_processes_are_one(conversations: list[list[float]], processes: int) -> None:
    """Counts and histograms are those of all conversations in one process."""
    records = []
    for number, waits in enumerate(conversations):
        record = started()
        for turn, wait in enumerate(waits):
            sent(record, due_at=9.0, phase=number % 2, model_ms=0.0)
            record.record_frame(answer(f"m{turn + 1}", turn + 2), 10.0 + wait)
        records.append(record)

    def of(some: list[ConversationRecord]) -> Tally:
        return tally(some, skipped=[1, 0], delayed=2, cpu_s=0.5)

    whole = of(records)
    shares = merge([of(records[number::processes]) for number in range(processes)])
    assert shares.phases[0].skipped == processes
    assert shares.counts.delayed == 2 * processes
    assert shares.counts.answered == whole.counts.answered
    assert [each.histograms for each in shares.phases] == [each.histograms for each in whole.phases]


# -- pool ---


def test_longest_idle_conversation_is_next() -> None:
    """First those that have never been used."""
    pool = IdlePool("ab")
    assert pool.take(Arrival(0.0, 0)) == "a"
    assert pool.release("a", 0.5) is None
    assert [pool.take(Arrival(1.0, 0)) for _ in range(3)] == ["b", "a", None]


def test_turn_waits_in_order_for_a_conversation_and_is_skipped_at_last() -> None:
    """It keeps its intended moment; a bound keeps the backlog short."""
    pool = IdlePool("a")
    pool.take(Arrival(0.0, 0))
    waiting = [Arrival(1.0, 0), Arrival(2.0, 1), Arrival(20.0, 1)]
    assert [pool.take(each) for each in waiting] == [None] * 3
    assert pool.release("a", 3.0) == waiting[0]
    assert pool.release("a", 2.0 + MAX_WAIT_S + 0.1) == waiting[2]
    assert pool.skipped == [waiting[1]]
    assert pool.delayed == 2
    assert not pool.has_waiting
    assert pool.release("a", 30.0) is None
    assert pool.take(Arrival(31.0, 0)) == "a"
