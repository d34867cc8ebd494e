"""Trace: every message becomes a step, in time order, with sender, recipient, duration and summary."""

from __future__ import annotations

import msgspec
from trunkline_ingress.core.trace import InboxEntry, Trace, build_trace
from trunkline_protocols.accounting import Timings, Usage
from trunkline_protocols.desk import AddNote, Claim, Reply, SlotMessage
from trunkline_protocols.inbox import FeedbackGiven
from trunkline_protocols.log import (
    Breached,
    Claimed,
    CommitStored,
    Consulted,
    Escalated,
    HandedBack,
    HandedOff,
    LeftQueue,
    NoteAdded,
    OwnerAssigned,
    PersonReplied,
    TurnAnswered,
)

from tests.ingress.conversation_simulator import C, ConversationSimulator, simulate


def trace_of(simulator: ConversationSimulator, *extra: InboxEntry) -> Trace:
    inbox = [InboxEntry("inbox.local.1.cabc", inbox_seq, message) for inbox_seq, message in simulator.inbox]
    return build_trace(C, [*inbox, *extra], simulator.commits)


def trace_of_events(*events: msgspec.Struct) -> Trace:
    """Return the trace of one commit at 100 s with these events."""
    (stored,) = simulate(["person_reply"]).commits
    commit = msgspec.structs.replace(stored.commit, at=100.0, events=list(events))
    return build_trace(C, [], [CommitStored(sequence=7, commit=commit)])


def summaries(trace: Trace) -> list[tuple[str, str, str, str]]:
    return [(step.from_, step.to, step.type, step.summary) for step in trace.steps if step.type != "commit"]


def test_message_of_the_customer_is_followed_by_dispatch_answer_and_commit() -> None:
    """The steps of one answered turn."""
    trace = trace_of(simulate(["message", "answer"]))
    assert [(step.from_, step.to, step.type) for step in trace.steps] == [
        ("customer", "conversation", "turn.received"),
        ("conversation", "billing", "turn.answer"),
        ("billing/one", "customer", "turn.answered"),
        ("conversation", "log", "commit"),
    ]
    assert trace.steps[0].summary == "Customer message: ?"
    assert trace.steps[-1].summary == "Commit 3 (turn), owner billing, epoch 0"


def test_steps_of_an_answer_follow_its_timings() -> None:
    """Search starts after queueing and routing, completion after the search; durations are milliseconds."""
    answered = TurnAnswered(
        message_id="m1",
        accepted_seq=2,
        text="?",
        received_at=98.0,
        answer="Soon.",
        specialty="billing",
        agent="one",
        retrieved=[],
        provider="simulated",
        model="small",
        usage=Usage(cost=0.5),
        timings=Timings(queued_ms=100, route_ms=200, search_ms=300, completion_ms=400),
    )
    routed = OwnerAssigned(to="billing", agent="one", confidence=0.5, timings=Timings(route_ms=250))
    steps = {step.type: step for step in trace_of_events(routed, answered).steps}
    assert {type_: (round(step.at, 3), step.ms) for type_, step in steps.items()} == {
        "turn.routed": (98.75, 250),
        "turn.answer": (99.0, 100),
        "llm.complete": (99.6, 400),
        "turn.answered": (100.0, 2_000),
        "commit": (100.0, 0),
    }
    assert steps["turn.routed"].summary == "Triage routed the conversation to billing (one)"
    assert steps["llm.complete"].summary == "Completion by simulated, model small"
    assert steps["turn.answered"].detail["cost"] == 0.5
    cut = msgspec.structs.replace(answered, stop_reason="length")
    (completion,) = [step for step in trace_of_events(routed, cut).steps if step.type == "llm.complete"]
    assert completion.summary == "Completion by simulated, model small, cut at the limit of tokens"
    assert completion.detail["stop_reason"] == "length"


def test_handoff_and_consultation_name_both_sides() -> None:
    """With the candidates of a handoff, and the advice or its absence."""
    consulted = Consulted(
        specialty="technical", agent="wifi", question="Why?", advice="Restart.", requested_by="billing"
    )
    failed = msgspec.structs.replace(consulted, outcome="timeout", reason="deadline exceeded")
    handed_off = HandedOff(
        from_="billing", to="technical", agent="wifi", reason="Wi-Fi", summary="s", candidates=["orders", "technical"]
    )
    assert summaries(trace_of_events(consulted, failed, handed_off)) == [
        ("billing", "technical", "consult", "billing consulted technical: Why?; wifi advised: Restart."),
        ("billing", "technical", "consult", "billing consulted technical: Why?; no advice: deadline exceeded"),
        (
            "billing",
            "technical",
            "turn.hand_off",
            "billing handed off to technical: Wi-Fi (candidates: orders, technical)",
        ),
    ]


def test_escalation_is_traced_from_the_queue_to_the_hand_back() -> None:
    """Every event of an escalation has one step."""
    escalated = Escalated(from_="billing", urgency="high", reason="asked", summary="s", position=2, level="person")
    assert summaries(
        trace_of_events(
            escalated,
            Breached(from_urgency="high", urgency="critical", position=1, due_at=1.0),
            Claimed(person="grace", due_at=1.0),
            PersonReplied(reply_id="r", person="grace", text="Hello.", in_reply_to="", due_at=1.0),
            HandedBack(person="grace", to="billing", note="n"),
            NoteAdded(note_id="n", person="grace", text="Carrier lost it."),
            LeftQueue(to="billing"),
        )
    ) == [
        ("billing", "people", "turn.escalate", "billing escalated to people, urgency high, position 2: asked"),
        ("clock", "people", "escalation.breached", "SLA breached, unclaimed: urgency raised from high to critical"),
        ("person grace", "customer", "desk.claimed", "grace claimed the conversation"),
        ("person grace", "customer", "desk.replied", "grace replied: Hello."),
        ("person grace", "billing", "desk.handed_back", "grace handed the conversation back to billing"),
        ("person grace", "people", "desk.note_added", "grace added an internal note: Carrier lost it."),
        ("customer", "conversation", "queue.left", "Customer left the queue"),
    ]


def test_feedback_and_desk_commands_are_ordered_by_time() -> None:
    """Both come from the inbox, each with its own sender."""
    note = AddNote(conversation=C, person="grace", note_id="n", text="Lost.", previous=2, at=5.0)
    claim = Claim(conversation=C, person="grace", previous=0, at=3.0)
    reply = Reply(conversation=C, person="grace", reply_id="r", text="Hello.", previous=1, at=4.0)
    feedback = FeedbackGiven(conversation=C, previous=0, rating=5, received_at=2.0)
    messages: list[SlotMessage] = [note, reply, claim, feedback]
    trace = trace_of(
        simulate([]),
        *(InboxEntry("desk.local.1.cabc", sequence, message) for sequence, message in enumerate(messages, start=1)),
    )
    assert summaries(trace) == [
        ("customer", "conversation", "feedback.given", "Customer rated the conversation 5 of 5"),
        ("person grace", "conversation", "desk.claim", "grace requested to claim the conversation"),
        ("person grace", "conversation", "desk.reply", "grace sent a reply: Hello."),
        ("person grace", "conversation", "desk.note", "grace sent an internal note: Lost."),
    ]
