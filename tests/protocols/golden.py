"""One golden sample per wire message.

`python -m tests.protocols.golden` writes the samples of new messages; existing ones never change.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from trunkline_protocols import (
    accounting,
    broadcast,
    citations,
    completion,
    consultation,
    context,
    desk,
    escalation,
    fleet,
    frames,
    ids,
    inbox,
    knowledge,
    log,
    presence,
    snapshot,
    turn,
    wire,
)
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

_SAMPLES: list[wire.Wire] = [
    inbox.TurnReceived(
        conversation=C,
        message_id="m1",
        text="Where is my refund?",
        seq=2,
        previous=0,
        customer="ada",
        tenant="default",
        region="local",
        channel="web",
        locale="en",
        ingress=INGRESS,
        received_at=AT,
    ),
    inbox.EndRequested(conversation=C, previous=1, customer="ada", tenant="default", ingress=INGRESS, received_at=AT),
    inbox.FeedbackGiven(conversation=C, previous=1, rating=5, received_at=AT, text="thanks"),
    inbox.WaitCancelled(conversation=C, previous=1, ingress=INGRESS, received_at=AT),
    turn.AnswerTurn(
        ref=ids.TurnRef(conversation=C, turn=T, attempt=1, hop=0, epoch=1),
        specialty=BILLING,
        agent="billing-refunds",
        text="Where is my refund?",
        context=CONTEXT,
        reply_to=OWNER,
        ingress=INGRESS,
        dispatched_at=AT,
        deadline_at=AT + 90,
        lane="high",
    ),
    consultation.Consult(
        consultation="k1",
        ref=ids.TurnRef(conversation=C, turn=T, attempt=1, hop=0),
        specialty=BILLING,
        requested_by="technical",
        question="May I refund?",
        context=CONTEXT,
        depth=1,
        deadline_at=AT,
    ),
    consultation.ConsultCancelled(consultation="k1"),
    turn.TaskClaimed(ref=ids.TurnRef(conversation=C, turn=T, attempt=1, hop=0)),
    turn.AgentHeartbeat(turns=[T]),
    turn.Answered(
        ref=ids.TurnRef(conversation=C, turn=T, attempt=1, hop=0),
        specialty=BILLING,
        agent="billing-refunds",
        text="Refunds take 5 days.",
        citations=[CITATION],
        retrieved=[citations.Retrieved(document="refunds", score=0.9)],
        owns=True,
        provider="extractive",
        model="extractive",
        usage=USAGE,
        timings=TIMINGS,
        instance="a",
    ),
    turn.Routed(
        ref=ids.TurnRef(conversation=C, turn=T, attempt=1, hop=0),
        to=BILLING,
        agent="billing-refunds",
        confidence=0.5,
    ),
    turn.HandOff(
        ref=ids.TurnRef(conversation=C, turn=T, attempt=1, hop=0),
        specialty=BILLING,
        to=TECHNICAL,
        agent="wifi",
        reason="a question about Wi-Fi",
        summary="s",
    ),
    turn.Escalate(
        ref=ids.TurnRef(conversation=C, turn=T, attempt=1, hop=0),
        urgency="high",
        reason="r",
        summary="s",
    ),
    turn.TurnFailed(ref=ids.TurnRef(conversation=C, turn=T, attempt=1, hop=0), reason="no model", retryable=True),
    consultation.ConsultProgress(consultation="k1"),
    consultation.Advice(consultation="k1", agent="billing-refunds", text="Yes.", citations=[CITATION]),
    consultation.AdviceRefused(consultation="k1", reason="too deep"),
    turn.Delta(ref=ids.TurnRef(conversation=C, turn=T, attempt=1, hop=0), text="Refunds ", replace=True, source="a-1"),
    turn.SocketAttached(conversation=C, ingress=INGRESS),
    COMMIT,
    log.CommitStored(sequence=7, commit=COMMIT),
    escalation.EscalationWaiting(
        conversation=C, region="local", tenant="default", customer="ada", escalation=ESCALATION
    ),
    desk.Claim(conversation=C, person="grace", previous=0, at=AT, reply_to="_INBOX.x"),
    desk.Reply(conversation=C, person="grace", reply_id="r1", text="Hello Ada.", previous=3, at=AT),
    desk.HandBack(conversation=C, person="grace", note="Refund is booked.", previous=4, at=AT, to="billing"),
    desk.Close(conversation=C, person="grace", reason="settled by a person", previous=5, at=AT),
    desk.DeskOutcome(done=False, reason="claim it first"),
    fleet.FleetPublished(
        fleet=fleet.Fleet(company=COMPANY, agents=[AGENT], escalation=POLICY),
        published_at=AT,
        published_by="ada",
        origin="apply",
        note="spring",
    ),
    broadcast.NoticePublished(
        notice="n1",
        text="Outage",
        severity="warning",
        audience="all",
        published_at=AT,
        expires_at=AT + 60,
        specialties=["technical"],
        tenants=["default"],
    ),
    broadcast.NoticeRecalled(notice="n1", recalled_at=AT),
    broadcast.NoticeReceipt(notice="n1", instance=AGENTS, received_at=AT),
    knowledge.SearchKnowledge(query="refund", tenant="default", topics=["refunds"], limit=3),
    knowledge.PassagesFound(passages=[PASSAGE]),
    knowledge.GetArticle(document="refunds", tenant="default"),
    knowledge.Article(document="refunds", title="Refunds", text="# Refunds"),
    knowledge.ImportArticles(tenant="default", files=[knowledge.ArticleFile(name="refunds.md", content="# Refunds")]),
    knowledge.ArticlesImported(
        documents=1, passages=2, problems=[knowledge.ImportProblem(name="x.md:1", reason="no id")]
    ),
    knowledge.TakeBackup(full=True, keep=3),
    knowledge.RestoreBackup(backup="20260101T000000Z-0123abcd", replace=True),
    knowledge.ListBackups(),
    knowledge.BackupTaken(location="var/backups", backup=BACKUP, removed=["20251231T000000Z-0123abcd"]),
    knowledge.BackupRestored(location="var/backups", backup=BACKUP),
    knowledge.BackupList(
        location="var/backups",
        backups=[BACKUP],
        progress=knowledge.BackupProgress(operation="backup", done=3, total=9),
    ),
    knowledge.Refused(code="bad_request", message="what?", retryable=False),
    completion.Complete(
        instructions="You are the refunds specialist.",
        text="Where is my refund?",
        transcript=CONTEXT.transcript,
        summary="s",
        passages=[PASSAGE],
        abstain="I do not know.",
        stream_to=completion.DeltaTarget(
            ref=ids.TurnRef(conversation=C, turn=T, attempt=1, hop=0), ingress=INGRESS, source="a-1"
        ),
        max_tokens=256,
        deadline_at=AT,
    ),
    completion.CancelCompletion(request_id="a-1", turn=T, reason="overtaken"),
    completion.ToolStepRecorded(
        step=completion.ToolStep(
            calls=[completion.ToolCall(id="call-1", name="issue-refund", arguments='{"order": "A-1"}')],
            outcomes=[completion.ToolOutcome(id="call-1", text="done")],
            text="One moment.",
        ),
        by="a-1",
    ),
    completion.Spent(tenant="default", day=20_454, instance="llm_gateway-1", usd=1.25),
    completion.Completed(
        text="Refunds take 5 days.",
        provider="extractive",
        model="extractive",
        citations=[CITATION],
        abstained=True,
        usage=USAGE,
        first_token_ms=1.0,
        model_ms=2.0,
    ),
    presence.Presence(
        service="agents",
        instance="agents-billing-1",
        pid=7,
        state="ready",
        version="0.1.0",
        node="n1",
        started_at=AT,
        at=AT,
        http_url="http://127.0.0.1:1",
        queue_depth=3,
        p50_ms=1.5,
        p95_ms=9.5,
        slots=[0, 1],
    ),
    presence.GetStatus(),
    presence.SuiteStatus(
        ready=True,
        processes=[
            presence.ProcessStatus(
                name="nats-1", service="nats", instance="nats-1", pid=7, state="ready", restarts=1, version="2.15"
            )
        ],
    ),
    presence.DeadLetter(
        stream="INBOX",
        consumer="slot-local-1",
        subject="inbox.local.1.c1",
        sequence=9,
        deliveries=3,
        reason="not JSON",
        payload="?",
        at=AT,
    ),
    snapshot.Snapshot(
        conversation=C,
        sequence=7,
        inbox_seq=1,
        epoch=1,
        hops=0,
        owner="billing",
        agent="billing-refunds",
        customer="ada",
        tenant="default",
        channel="web",
        locale="en",
        closed=False,
        turns=1,
        frames=2,
        ids=b"",
        summary="",
        transcript=CONTEXT.transcript,
    ),
    frames.Start(customer="ada", tenant="t", region="r", channel="web", locale="en"),
    frames.Resume(conversation="c1", resume_token="x.y", last_seq=3),
    frames.Message(id="m1", text="Where is my refund?"),
    frames.End(),
    frames.Feedback(rating=5, text="thanks"),
    frames.LeaveQueue(),
    frames.StartedFrame(conversation="c1", resume_token="x.y", seq=1),
    frames.ResumedFrame(conversation="c1", recovered=True),
    frames.AcceptedFrame(id="m1", seq=2),
    frames.DeltaFrame(turn="c1-1", text="Refunds ", replace=True),
    frames.MessageFrame(
        turn="c1-1",
        seq=3,
        text="Refunds take 5 days.",
        specialty="billing",
        agent="billing-refunds",
        citations=[CITATION],
        in_reply_to="m1",
    ),
    frames.HandoffFrame(turn="c1-1", seq=3, from_="billing", to="technical", reason="r"),
    frames.EscalatedFrame(turn="c1-1", seq=3, urgency="high", position=2),
    frames.NoticeFrame(id="n1", text="Outage", severity="warning"),
    frames.NoticeRecalledFrame(id="n1"),
    frames.PositionFrame(urgency="high", position=0, claimed_by="grace"),
    frames.ClosedFrame(seq=4, reason="ended by the customer"),
    frames.ErrorFrame(code="bad_frame", message="what?", retryable=False, id="m1"),
]

SAMPLES: dict[str, wire.Wire] = {
    f"{type(sample).__module__.rpartition('.')[2]}.{type(sample).__name__}": sample for sample in _SAMPLES
} | {"log.Commit-people": PEOPLE, "log.Commit-tools": TOOLS}

if __name__ == "__main__":
    folder = Path(__file__).parent / "golden"
    folder.mkdir(exist_ok=True)
    for name, sample in SAMPLES.items():
        file = folder / f"{name}.json"
        if not file.exists():
            file.write_bytes(msgspec.json.encode(sample) + b"\n")
