"""The stages bench: differences of two windows by turn, and the stages of a traced turn. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Any

from trunkline_cli.bench.broker_traffic import Traffic
from trunkline_cli.bench.stage_times import mean_stage_times
from trunkline_cli.bench.stages import Window, stages_report, stages_text
from trunkline_cli.traces import ConversationStep, ConversationTrace


def window(seconds: float, *, messages: int, cpu_s: float) -> Window:
    """Return a window in which two agents processes and a bench were connected."""
    received = Counter({"agents-billing-1": messages, "agents-triage-1": messages, "bench": 1_000})
    traffic = Traffic(received=received, sent=Counter(), appended=Counter({"INBOX": messages}), delivered=Counter())
    return Window(seconds, Counter({"agents": cpu_s}), Counter({"agents": float(messages)}), traffic)


def test_report_is_per_turn_without_the_idle_share() -> None:
    """Idle 10 s with 20 messages and 1 s CPU; busy 20 s with 100 messages and 6 s: 60 and 4 s are of the 20 turns."""
    report = stages_report(
        window(10.0, messages=20, cpu_s=1.0), window(20.0, messages=100, cpu_s=6.0), 20, {"search": 2.5}
    )
    assert report.messages_in == {"total": 6.0, "agents": 6.0}
    assert report.appended == {"total": 3.0, "INBOX": 3.0}
    assert report.cpu_ms == {"total": 200.0, "agents": 200.0}
    assert report.idle_cpu_percent == {"total": 10.0, "agents": 10.0}
    assert report.idle_messages_per_s == {"total": 4.0, "agents": 4.0}
    text = "\n".join(stages_text(report))
    assert "agents" in text
    assert "search" in text


def step(type_: str, at: float, ms: float = 0.0, **detail: Any) -> ConversationStep:
    """Return a step of a trace; `at` in milliseconds."""
    return ConversationStep(
        at=at / 1000, to="", subject="", type=type_, ms=ms, summary="", detail=detail, from_="conversation"
    )


def test_stages_of_a_turn_add_up_to_its_response() -> None:
    """Routed by triage, searched, answered by a model of 100 ms; the client waited 150 ms."""
    steps = [
        step("turn.received", 0.0),
        step("turn.routed", 7.0, 4.0),
        step("turn.answer", 11.0, 1.0),
        step("knowledge.search", 14.0, 3.0),
        step("llm.complete", 17.0, 110.0),
        step("turn.answered", 128.0, 135.0, in_reply_to="m1", model_ms=100.0),
    ]
    times = mean_stage_times([ConversationTrace("c1", steps)], {("c1", "m1"): 150.0})
    assert list(times.values()) == [7.0, 4.0, 1.0, 2.0, 3.0, 10.0, 100.0, 1.0, 15.0]


def test_turn_without_a_search_or_an_answer_is_no_reason_to_fail() -> None:
    """Small talk has no search; a turn that is still open is left out."""
    steps = [
        step("turn.received", 0.0),
        step("turn.answer", 5.0, 1.0),
        step("turn.answered", 9.0, 9.0, in_reply_to="m1"),
        step("turn.received", 20.0),
    ]
    times = mean_stage_times([ConversationTrace("c1", steps)], {("c1", "m1"): 10.0})
    assert times["search"] == 0.0
    assert sum(times.values()) == 10.0
    assert mean_stage_times([], {}) == {}
