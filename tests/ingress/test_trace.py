"""Trace: every message becomes a step, in time order, with sender, recipient, duration and summary."""

from __future__ import annotations

import msgspec
from trunkline_ingress.core.trace import (
    InboxEntry,
    ProvenRecords,
    RecordKey,
    Trace,
    TraceStep,
    ViewEntry,
    build_trace,
    no_proof,
    proof_of,
    with_proof,
)
from trunkline_protocols.accounting import Timings, Usage
from trunkline_protocols.archives import ProvenRecord, SignedHead
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
    Started,
    TurnAnswered,
)
from trunkline_protocols.views import ConversationViewed

from tests.ingress.conversation_simulator import C, ConversationSimulator, simulate
from tests.protocols.sample_parts import RECORDS


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


# -- records of decisions, views and proofs ---


def steps_by_type(*events: msgspec.Struct) -> dict[str, TraceStep]:
    return {step.type: step for step in trace_of_events(*events).steps}


def test_scores_and_reasons_of_decisions_are_shown() -> None:
    """In the sentence of the step, and whole in its detail."""
    steps = steps_by_type(*RECORDS.events)
    scores = "(billing-questions 1.25, technical-questions 0.5)"
    assert (
        steps["turn.routed"].summary
        == f"Triage routed the conversation to billing (billing-refunds); classified {scores}"
    )
    assert steps["turn.hand_off"].summary.endswith(f"a question about Wi-Fi; classified {scores}")
    assert steps["turn.escalate"].summary.endswith("rule burglary (burglary at home 0.92)")
    handoff = steps["turn.hand_off"].detail
    assert (handoff["provider"], handoff["model"], handoff["from_agent"]) == ("local", "small", "billing-refunds")
    assert handoff["usage"] == {"input_tokens": 100, "output_tokens": 20, "cost": 0.002}
    assert handoff["found"] == [{"document": "wifi", "score": 0.9, "rev": 3}]
    consultation = steps["consult"].detail
    assert (consultation["model"], consultation["found"]) == (
        "small",
        [{"document": "returns", "score": 0.9, "rev": 2}],
    )
    answer = steps["turn.answered"].detail
    assert (answer["notices"], answer["active_notices"]) == (["n2"], ["n1", "n2"])
    assert (answer["agent"], answer["fleet_version"]) == ("billing-refunds", 3)
    assert answer["citations"] == [{"document": "refunds", "title": "Refunds", "quote": "Refunds take 5 days."}]
    assert steps["closed"].from_ == "person grace"


def test_tool_call_is_shown_with_arguments_and_result() -> None:
    """As they were recorded, masked."""
    step = steps_by_type(*RECORDS.events)["tool"]
    assert step.summary == (
        'billing called issue-refund {"order":"FW-10041","customer":"[customer.sub]"}: succeeded, '
        '{"refund":"refund 1 of FW-10041"}'
    )
    assert step.detail["result_sha256"] == "1e2d3c4b5a"


def test_start_names_the_customer() -> None:
    started = Started(customer="ada", tenant="default", channel="web", locale="en", verified=True)
    step = steps_by_type(started)["started"]
    assert step.summary == "Conversation of ada (default, verified) by web, en"


def test_every_view_of_an_operator_is_a_step() -> None:
    """By the name of the key; the shared token has none."""
    viewed = ConversationViewed(conversation=C, view="desk", operator="Grace", role="lead", at=1.0)
    shared = msgspec.structs.replace(viewed, view="trace", operator="", role="admin", at=2.0)
    trace = build_trace(
        C, [], [], views=[ViewEntry("view.local.1.c", 2, shared), ViewEntry("view.local.1.c", 1, viewed)]
    )
    assert [(step.from_, step.summary, step.sequence) for step in trace.steps] == [
        ("operator Grace", "Grace (lead) read the conversation at the desk", 1),
        ("operator shared token", "shared token (admin) read the trace", 2),
    ]


HEAD = SignedHead(log="local", size=9, root="00", at=1_767_225_600_000_000, key="0123456789ab", signature="ff")


def proven(*records: tuple[str, int, int, str]) -> ProvenRecords:
    return ProvenRecords(
        HEAD,
        [ProvenRecord(stream=stream, sequence=seq, leaf=leaf, sha256=sha) for stream, seq, leaf, sha in records],
        (),
    )


def test_proof_counts_the_records_whose_bytes_are_those_of_the_tree() -> None:
    """A later record is not proven yet; one with other bytes is a fault."""
    shown = {RecordKey("INBOX", 1): "a", RecordKey("CONVERSATIONS", 2): "b", RecordKey("VIEWS", 3): "c"}
    proof, leaves = proof_of(shown, proven(("INBOX", 1, 4, "a"), ("CONVERSATIONS", 2, 5, "b"), ("INBOX", 8, 1, "x")))
    assert leaves == {RecordKey("INBOX", 1): 4, RecordKey("CONVERSATIONS", 2): 5}
    assert (proof.records, proof.proven, proof.faults) == (3, 2, [])
    assert proof.summary == (
        "2 of 3 records proven by the head of 9 records of 2026-01-01 00:00:00 UTC, signed with key 01234567"
    )
    proof, leaves = proof_of(shown, proven(("INBOX", 1, 4, "a"), ("CONVERSATIONS", 2, 5, "other")))
    assert leaves == {RecordKey("INBOX", 1): 4}
    assert proof.faults == ["CONVERSATIONS 2 is not the message that is record 5"]
    assert proof.summary.endswith("; 1 faults: CONVERSATIONS 2 is not the message that is record 5")


def test_record_that_cannot_be_read_again_is_not_proven() -> None:
    proof, leaves = proof_of({RecordKey("INBOX", 1): ""}, proven(("INBOX", 1, 4, "a")))
    assert (proof.proven, proof.faults, leaves) == (0, [], {})


def test_trace_without_proof_has_the_reason() -> None:
    proof = no_proof([RecordKey("INBOX", 1)], "PostgreSQL is away")
    assert (proof.summary, proof.records, proof.proven) == ("Records not proven: PostgreSQL is away", 1, 0)
    trace = with_proof(trace_of(simulate(["message", "answer"])), proof, {RecordKey("CONVERSATIONS", 3): 17})
    assert [step.leaf for step in trace.steps] == [None, 17, 17, 17]
