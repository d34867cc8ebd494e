"""Parts that several golden samples share: ids, records, and the commits of a conversation's log."""

from __future__ import annotations

import msgspec
from trunkline_protocols import accounting, citations, context, evidence, fleet, knowledge, log, rollout
from trunkline_protocols.escalation import Escalation
from trunkline_protocols.ids import ConversationId, Instance, Specialty, TurnId
from trunkline_protocols.rules.message_id_filter import with_id

C = ConversationId("c1")
T = TurnId("c1-1")
BILLING = Specialty("billing")
TECHNICAL = Specialty("technical")
AGENTS = Instance("a")
OWNER = Instance("conversation-1")
INGRESS = Instance("ingress-1")
AT = 1_767_225_600.25

CITATION = citations.Citation(document="refunds", title="Refunds", quote="Refunds take 5 days.")
USAGE = accounting.Usage(input_tokens=100, output_tokens=20, cost=0.002)
TIMINGS = accounting.Timings(
    queued_ms=1.0, route_ms=0.5, search_ms=2.0, completion_ms=30.0, first_token_ms=10.0, model_ms=25.0
)
CONTEXT = context.Context(
    tenant="default",
    region="local",
    locale="en",
    transcript=[
        context.Utterance(role="customer", text="Hello"),
        context.Utterance(role="agent", text="Hi", specialty="triage"),
    ],
    summary="Ada said hello.",
)
PASSAGE = knowledge.Passage(document="refunds", title="Refunds", text="Refunds take 5 days.", score=0.9)
BACKUP = knowledge.BackupInfo(
    id="20260101T000000Z-0123abcd",
    created_at=AT,
    kind="incremental",
    embedder="lexical",
    articles=2,
    passages=5,
    bytes=4_096,
    blobs=2,
    written=1,
)
COMMIT = log.Commit(
    conversation=C,
    region="local",
    tenant="default",
    customer="ada",
    kind="turn",
    turn=T,
    epoch=1,
    owner="billing",
    agent="billing-refunds",
    inbox_seq=1,
    previous=0,
    frames_before=0,
    at=AT,
    events=[
        log.Started(customer="ada", tenant="default", channel="web", locale="en"),
        log.OwnerAssigned(to="billing", agent="billing-refunds", confidence=0.5, timings=TIMINGS),
        log.HandedOff(from_="billing", to="technical", agent="wifi", reason="wifi", summary="s", instance="a"),
        log.Consulted(specialty="returns", agent="returns-policy", question="q", advice="a", usage=USAGE),
        log.Escalated(from_="billing", urgency="high", reason="r", summary="s", position=2),
        log.TurnAnswered(
            message_id="m1",
            accepted_seq=2,
            text="Where is my refund?",
            received_at=AT,
            answer="Refunds take 5 days.",
            specialty="billing",
            agent="billing-refunds",
            citations=[CITATION],
            retrieved=[citations.Retrieved(document="refunds", score=0.9)],
            provider="extractive",
            model="extractive",
            usage=USAGE,
            timings=TIMINGS,
            attempt=2,
            instance="a",
        ),
        log.Closed(reason="ended by the customer"),
    ],
)

ESCALATION = Escalation(
    level="person",
    urgency="high",
    reason="asked for a person",
    summary="s",
    since=AT,
    due_at=AT + 300,
    from_="billing",
    claimed_by="grace",
    breaches=1,
)
PEOPLE = log.Commit(
    conversation=C,
    region="local",
    tenant="default",
    customer="ada",
    kind="escalation",
    turn=TurnId("c1-d9"),
    epoch=3,
    owner="escalation",
    agent="",
    inbox_seq=1,
    previous=7,
    frames_before=5,
    ids_before=with_id(b"", "m1"),
    ended_before=True,
    at=AT,
    desk_seq=9,
    events=[
        log.Escalated(
            from_="billing",
            urgency="high",
            reason="r",
            summary="s",
            position=2,
            level="person",
            since=AT,
            due_at=AT + 9,
        ),
        log.Breached(from_urgency="normal", urgency="high", due_at=AT, position=1, claimed_by="grace"),
        log.Claimed(person="grace", due_at=AT),
        log.CustomerReplied(message_id="m2", accepted_seq=5, text="Hello?", received_at=AT),
        log.PersonReplied(reply_id="r1", person="grace", text="Hello Ada.", in_reply_to="m2", due_at=AT),
        log.HandedBack(person="grace", to="billing", note="Refund is booked."),
        log.LeftQueue(to="billing"),
    ],
)
NOTES = msgspec.structs.replace(PEOPLE, events=[log.NoteAdded(note_id="n1", person="grace", text="Ask the carrier.")])
COMPANY = fleet.Company(name="A", description="B", greeting="C", clarify="D", abstain="E", examples=["F"])
AGENT = fleet.Agent(
    name="reception",
    specialty="triage",
    title="Reception",
    description="d",
    tone="t",
    hand_off_to=[],
    examples=["hello"] * 10,
    knowledge=fleet.KnowledgeFilter(topics=["company"]),
    consult=[],
)
POLICY = fleet.EscalationPolicy(
    rules=[fleet.EscalationRule(name="fire", phrases=["smoke"], urgency="critical", to="person")],
    person_phrases=["a person"],
    frustration_words=["ridiculous"],
    tiers={"plus": "normal"},
)

TOOLS = msgspec.structs.replace(
    COMMIT,
    events=[
        log.ToolUsed(
            specialty="billing",
            use=accounting.ToolUse(
                tool="issue-refund", outcome="done", arguments_sha256="0f1e", key="c1-1/0.1", ms=12.5
            ),
        ),
        COMMIT.events[-2],
    ],
)

EVIDENCE = evidence.RoutingEvidence(
    reason="classified",
    scores=[
        evidence.Score(name="billing-questions", value=1.25),
        evidence.Score(name="technical-questions", value=0.5),
    ],
    scope_score=2.5,
    scope_threshold=0.75,
)
RECORDS = msgspec.structs.replace(
    COMMIT,
    events=[
        log.OwnerAssigned(to="billing", agent="billing-refunds", confidence=0.75, evidence=EVIDENCE),
        log.HandedOff(
            from_="billing",
            to="technical",
            agent="wifi",
            reason="a question about Wi-Fi",
            summary="Asked for a refund, then for Wi-Fi.",
            from_agent="billing-refunds",
            provider="local",
            model="small",
            usage=USAGE,
            confidence=0.75,
            evidence=EVIDENCE,
            retrieved=[citations.Retrieved(document="wifi", score=0.9, rev=3)],
        ),
        log.Consulted(
            specialty="returns",
            agent="returns-policy",
            question="May it be returned?",
            advice="Within 30 days.",
            usage=USAGE,
            provider="local",
            model="small",
            retrieved=[citations.Retrieved(document="returns", score=0.9, rev=2)],
        ),
        log.ToolUsed(
            specialty="billing",
            use=accounting.ToolUse(
                tool="issue-refund",
                outcome="done",
                arguments_sha256="0f1e",
                key="c1-1/0.1",
                ms=12.5,
                arguments='{"order":"FW-10041","customer":"[customer.sub]"}',
                result='{"refund":"refund 1 of FW-10041"}',
                result_sha256="1e2d3c4b5a",
                result_characters=33,
            ),
        ),
        log.Escalated(
            from_="billing",
            urgency="high",
            reason="rule burglary",
            summary="s",
            agent="billing-refunds",
            instance="a",
            scores=[evidence.Score(name="burglary at home", value=0.92)],
            provider="local",
            model="small",
            usage=USAGE,
            retrieved=[citations.Retrieved(document="safety", score=0.9, rev=1)],
        ),
        msgspec.structs.replace(
            COMMIT.events[-2], notices=["n2"], active_notices=["n1", "n2"], routing=EVIDENCE, fleet_version=3
        ),
        log.Closed(reason="settled by a person", person="grace"),
    ],
)
DRAWN = msgspec.structs.replace(COMMIT, fleet_version=12, draw=rollout.FleetDraw(candidate=12, share=5))
ROLLOUT = rollout.FleetRollout(
    candidate=12,
    served=5,
    shares=[5, 25, 100],
    hold_s=600.0,
    min_turns=30,
    slow_s=1.0,
    started_at=AT,
    started_by="ada",
    commits_after=7,
    phase="withdrawn",
    share=0,
    raised_at=AT,
    raised_turns=0,
    candidate_turns=rollout.TurnCounts(turns=31, failed=6),
    served_turns=rollout.TurnCounts(turns=570, failed=1),
    decisions=[
        rollout.RolloutDecision(at=AT, action="raised", share=5, by="ingress-1"),
        rollout.RolloutDecision(at=AT, action="withdrawn", share=0, by="ingress-1", reason="failed: 6 of 31 turns"),
    ],
)
RELEASED = msgspec.structs.replace(COMMIT, colour="green", release_draw=rollout.ReleaseDraw(rollout=7, share=5))
RELEASE = rollout.ReleaseRollout(
    number=7,
    candidate="green",
    served="blue",
    shares=[5, 25, 50, 100],
    hold_s=600.0,
    min_turns=30,
    slow_s=1.0,
    started_at=AT,
    started_by="ada",
    commits_after=7,
    phase="running",
    share=5,
    raised_at=AT,
    decisions=[rollout.RolloutDecision(at=AT, action="raised", share=5, by="ingress-1")],
)
