"""Escalations: rules, urgency, levels, queue positions and SLA breaches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st
from trunkline_conversation.core.decisions import Decision, first_step, on_result, on_unclaimed
from trunkline_conversation.core.escalations import breach, leave_queue
from trunkline_conversation.core.state import Conversation
from trunkline_conversation.core.steps import Append, Environment, Step, SystemReply, Work
from trunkline_protocols.context import Utterance
from trunkline_protocols.escalation import URGENCIES, Escalation, EscalationWaiting, Urgency
from trunkline_protocols.fleet import DeskHours
from trunkline_protocols.ids import ConversationId, Specialty, TurnRef
from trunkline_protocols.log import Breached, CustomerReplied, Escalated, LeftQueue, TurnAnswered
from trunkline_protocols.rules.escalation import pressure, queue, queue_position
from trunkline_protocols.turn import Escalate

from tests.conversation.builders import NOW, POLICY, SPECIALTIES, answered, begun, committed, environment, fresh, routed


def owned(**changes: Any) -> Conversation:
    state = Conversation(id=fresh().id, region="local", sequence=10, inbox_seq=1, owner="billing", agent="billing-one")
    return msgspec.structs.replace(state, **changes)


def escalation(**changes: Any) -> Escalation:
    first = Escalation(level="person", urgency="normal", reason="r", summary="s", since=NOW, due_at=NOW + 900)
    return msgspec.structs.replace(first, **changes)


def opened(state: Conversation, text: str, *, tier: str = "", **changes: Any) -> Step:
    return first_step(state, begun(state, 2, text=text, tier=tier), environment(**changes))


def escalated(step: Decision) -> Escalated:
    assert isinstance(step, Append)
    event = step.events[-1]
    assert isinstance(event, Escalated)
    return event


def test_critical_case_goes_to_a_person_and_the_instruction_comes_first() -> None:
    """Whatever level the rule names."""
    step = opened(owned(), "There is SMOKE, coming from it!")
    event = escalated(step)
    assert (event.urgency, event.level, event.from_) == ("critical", "person", "billing")
    assert isinstance(step, Append)
    assert step.then == SystemReply("Unplug it.\n\nYou are number 1.")
    assert event.due_at == NOW + POLICY.sla_s.critical
    assert (step.owner, step.epoch) == ("escalation", 1)


def test_waiting_customer_reads_the_expected_wait_or_the_next_opening() -> None:
    """By the SLA of the urgency, or by the hours of the desk."""
    note = "Number {position}, within {wait}."
    policy = msgspec.structs.replace(POLICY, waiting_note=note, closed_note="Opens {opens}.")
    step = opened(owned(), "I want to speak to a person", policy=policy)
    assert isinstance(step, Append)
    assert step.then == SystemReply("Number 1, within 15 minutes.")
    closed = msgspec.structs.replace(policy, hours=DeskHours(friday="08:00-18:00"))
    step = opened(owned(), "I want to speak to a person", policy=closed)
    assert isinstance(step, Append)
    assert step.then == SystemReply("Opens on Friday at 08:00.")
    step = opened(owned(), "There is smoke!", policy=msgspec.structs.replace(closed, closed_emergency_note="Not us."))
    assert isinstance(step, Append)
    assert step.then == SystemReply("Unplug it.\n\nNot us.")


def test_phrases_match_whole_words_only() -> None:
    """`smoker` does not match `smoke`."""
    assert isinstance(opened(owned(), "I am a smoker and want a refund"), Work)


def test_request_for_a_person_is_answered_with_the_queue_position() -> None:
    """Claimed entries do not count."""
    others = [entry(number, "normal", NOW - 60, NOW + 840) for number in range(4)]
    served = entry(5, "normal", NOW - 60, NOW + 840, claimed_by="grace")
    step = opened(owned(), "I want to speak to a person", waiting=[*others, served])
    event = escalated(step)
    assert (event.level, event.position) == ("person", 5)
    assert isinstance(step, Append)
    assert step.then == SystemReply("You are number 5.")


@pytest.mark.parametrize(
    ("tier", "text", "urgency", "reply"),
    [
        ("", "Where is my refund?", "normal", "You are number 1."),
        ("business", "Where is my refund?", "high", "You are number 1."),
        ("", "There is smoke!", "critical", "Unplug it.\n\nYou are number 1."),
        ("", "I want to speak to a person", "normal", "You are number 1."),
    ],
)
def test_frame_that_requests_a_person_escalates_to_one(tier: str, text: str, urgency: str, reply: str) -> None:
    """Whatever its text says, with and without an owner; tier and rules raise the urgency, instructions precede."""
    for state in (owned(), fresh()):
        turn = begun(state, 2, text=text, tier=tier, wants_person=True)
        step = first_step(state, turn, environment())
        event = escalated(step)
        assert (event.level, event.urgency, event.position) == ("person", urgency, 1)
        assert "the customer asks for a person" in event.reason
        assert isinstance(step, Append)
        assert step.then == SystemReply(reply)


def test_repeated_request_for_a_person_is_answered_with_the_position_again() -> None:
    """The conversation keeps its place; senior agents do not hold a request back."""
    waiting = owned(owner="escalation", escalation=escalation())
    step = first_step(waiting, begun(waiting, 2, wants_person=True), environment())
    assert isinstance(step, Append)
    assert [event.answer for event in step.events if isinstance(event, TurnAnswered)] == ["You are number 1."]
    senior = owned(owner="escalation", escalation=escalation(level="senior"))
    assert escalated(first_step(senior, begun(senior, 2, wants_person=True), environment())).level == "person"


def test_request_for_a_person_reaches_the_person_that_has_the_conversation() -> None:
    """It is shown to the person as a message."""
    held = owned(owner="escalation", escalation=escalation(claimed_by="grace"))
    step = first_step(held, begun(held, 2, text="Are you there?", wants_person=True), environment())
    assert isinstance(step, Append)
    assert [type(event) for event in step.events] == [CustomerReplied]


def test_position_of_a_new_critical_escalation_is_before_older_calm_ones() -> None:
    """The first position is computed in the order in which the desk serves the queue."""
    calm = [entry(number, "low", NOW - 60, NOW + 3_540) for number in range(3)]
    urgent = entry(4, "critical", NOW - 50, NOW + 10)
    without_seniors = SPECIALTIES - {"escalation"}
    event = escalated(opened(owned(), "There is smoke!", waiting=[*calm, urgent], specialties=without_seniors))
    assert (event.level, event.urgency, event.position) == ("person", "critical", 2)


@pytest.mark.parametrize(("tier", "urgency"), [("", "normal"), ("plus", "normal"), ("business", "high")])
def test_tier_sets_the_minimum_urgency(tier: str, urgency: Urgency) -> None:
    """A tier raises the urgency of an escalation but does not cause one."""
    assert escalated(opened(owned(), "let me speak to a person", tier=tier)).urgency == urgency
    assert isinstance(opened(owned(), "Where is my refund?", tier=tier), Work)


def test_frustration_is_counted_over_several_messages() -> None:
    """Only words of the customer count."""
    calm = owned(transcript=[Utterance(role="agent", text="ridiculous")])
    assert isinstance(opened(calm, "this is ridiculous"), Work)
    angry = owned(transcript=[Utterance(role="customer", text="This is ridiculous.")])
    assert escalated(opened(angry, "I am fed up with you")).urgency == "high"


def test_consecutive_abstentions_escalate_at_the_limit() -> None:
    """Failed turns are counted in the log."""
    state = owned()
    for number in range(2, 4):
        turn = begun(state, number)
        append = on_result(state, turn, answered(turn, abstained=True), environment())
        assert isinstance(append, Append)
        assert append.kind == "turn"
        state = committed(state, append, inbox_seq=number, sequence=10 + number)
    turn = begun(state, 4)
    assert escalated(on_result(state, turn, answered(turn, abstained=True), environment())).level == "senior"
    good = on_result(state, turn, answered(turn), environment())
    assert isinstance(good, Append)
    assert committed(state, good, inbox_seq=4, sequence=20).failures == 0


def test_abstention_of_a_senior_agent_escalates_to_a_person() -> None:
    """Senior agents have no other level than people to escalate to."""
    state = owned(owner="escalation", escalation=escalation(level="senior", urgency="high"), epoch=1)
    turn = begun(state, 2)
    step = on_result(state, turn, answered(turn, abstained=True, epoch=1), environment())
    event = escalated(step)
    assert (event.level, event.urgency) == ("person", "high")


def test_answer_of_a_senior_agent_ends_the_escalation() -> None:
    """The owner stays and the escalation is removed."""
    state = owned(owner="escalation", escalation=escalation(level="senior"), epoch=1)
    turn = begun(state, 2)
    append = on_result(state, turn, answered(turn, epoch=1), environment())
    assert isinstance(append, Append)
    after = committed(state, append, inbox_seq=2, sequence=12)
    assert (after.escalation, after.owner) == (None, "escalation")


def test_agent_may_escalate() -> None:
    """The agent sets urgency, reason and summary."""
    state = owned()
    turn = begun(state, 2)
    result = Escalate(
        ref=TurnRef(conversation=state.id, turn=turn.id, attempt=1, hop=0),
        urgency="low",
        reason="too hard",
        summary="s",
    )
    event = escalated(on_result(state, turn, result, environment()))
    assert (event.urgency, event.reason, event.summary) == ("low", "too hard", "s")


@pytest.mark.parametrize(
    "without_seniors",
    [environment(down=frozenset({"escalation"})), environment(specialties=SPECIALTIES - {"escalation"})],
    ids=["down", "no such specialty"],
)
def test_escalation_goes_to_a_person_without_senior_agents(without_seniors: Environment) -> None:
    """No customer waits for an agent that is not running."""
    state = owned()
    assert escalated(first_step(state, begun(state, 2, text="It is on fire"), without_seniors)).level == "person"


def test_unclaimed_work_is_escalated_if_its_specialty_is_down() -> None:
    """A stopped pool does not delay a customer by the turn timeout of 90 s."""
    state = owned()
    turn = begun(state, 2)
    assert on_unclaimed(state, turn, environment()) is None
    step = on_unclaimed(state, turn, environment(down=frozenset({"billing"})))
    assert step is not None
    assert escalated(step).reason == "no process answers for billing"


def test_unclaimed_work_of_a_removed_specialty_goes_to_triage() -> None:
    """A new fleet was published while the request was queued; the agent that triage selects becomes the owner."""
    state = owned()
    turn = begun(state, 2)
    without = environment(specialties=SPECIALTIES - {"billing"})
    step = on_unclaimed(state, turn, without)
    assert step == Work(Specialty("triage"), hop=1)
    turn = replace(turn, work=step)
    assert on_result(state, turn, routed(turn, "technical"), without) == Work(
        Specialty("technical"), agent="technical-one", hop=2
    )


def test_breach_raises_the_urgency_and_sets_a_new_due_time() -> None:
    """No person claimed the conversation in time."""
    state = owned(escalation=escalation(urgency="high", due_at=NOW))
    append = breach(state, environment(waiting=[entry(1, "high", NOW - 60, NOW + 240)]))
    assert append is not None
    after = committed(state, append, inbox_seq=1, sequence=11)
    assert after.escalation is not None
    assert (after.escalation.urgency, after.escalation.breaches) == ("critical", 1)
    event = append.events[0]
    assert isinstance(event, Breached)
    assert event.position == 1
    assert after.escalation.due_at == NOW + POLICY.sla_s.critical
    assert after.inbox_seq == state.inbox_seq


def test_claim_of_a_silent_person_expires() -> None:
    """The conversation waits again, with a higher urgency."""
    state = owned(escalation=escalation(claimed_by="grace", due_at=NOW - 1))
    append = breach(state, environment())
    assert append is not None
    event = append.events[0]
    assert isinstance(event, Breached)
    assert event.claimed_by == "grace"
    assert committed(state, append, inbox_seq=1, sequence=11).with_person == ""


@pytest.mark.parametrize(
    "state",
    [owned(), owned(escalation=escalation()), owned(escalation=escalation(level="senior", due_at=NOW - 1))],
    ids=["no escalation", "not due", "senior agents"],
)
def test_escalation_is_not_breached_before_its_due_time(state: Conversation) -> None:
    """A late or repeated timer changes nothing."""
    assert breach(state, environment()) is None


def test_customer_may_leave_the_queue_until_it_is_claimed() -> None:
    """The conversation returns to its previous owner."""
    state = owned(owner="escalation", escalation=escalation(from_="billing"))
    append = leave_queue(state)
    assert append is not None
    assert append.events == [LeftQueue(to="billing")]
    after = committed(state, append, inbox_seq=2, sequence=11)
    assert (after.owner, after.escalation) == ("billing", None)
    assert leave_queue(after) is None
    assert leave_queue(owned(escalation=escalation(claimed_by="grace"))) is None


def test_repeated_request_for_a_person_is_answered_with_the_position() -> None:
    """A conversation is queued once."""
    state = owned(escalation=escalation())
    own = msgspec.structs.replace(entry(1, "normal", NOW, NOW + 900), conversation=state.id)
    append = opened(state, "I want to speak to a person!", waiting=[entry(2, "high", NOW, NOW + 300), own])
    assert isinstance(append, Append)
    assert append.kind == "turn"
    assert isinstance(append.events[-1], TurnAnswered)
    assert append.events[-1].answer == "You are number 2."


def test_turn_resumes_after_a_crash_behind_the_escalation() -> None:
    """The escalation is committed, but the customer has no reply yet."""
    state = owned(owner="escalation", escalation=escalation(), hops=1)
    assert opened(state, "I want to speak to a person") == SystemReply("You are number 1.")
    senior = owned(owner="escalation", escalation=escalation(level="senior", urgency="critical"), hops=1)
    step = opened(senior, "It is on fire")
    assert isinstance(step, Work)
    assert (step.lane, step.hop) == ("urgent", 1)


def entry(
    number: int, urgency: Urgency, since: float, due_at: float, claimed_by: str = "", gone_since: float = 0.0
) -> EscalationWaiting:
    return EscalationWaiting(
        conversation=ConversationId(f"c{number}"),
        region="local",
        tenant="default",
        customer="ada",
        escalation=escalation(urgency=urgency, since=since, due_at=due_at, claimed_by=claimed_by),
        gone_since=gone_since,
    )


def test_queue_is_ordered_by_urgency_age_and_sla() -> None:
    """High at half of its SLA precedes normal at three quarters; claimed entries are excluded."""
    normal, high = entry(1, "normal", NOW - 675, NOW + 225), entry(2, "high", NOW - 150, NOW + 150)
    served = entry(3, "critical", NOW - 50, NOW + 10, claimed_by="grace")
    assert [waiting.conversation for waiting in queue([normal, high, served], NOW)] == ["c2", "c1"]


ENTRIES = st.lists(
    st.tuples(st.sampled_from(URGENCIES), st.integers(0, 900), st.sampled_from([0.0, NOW - 60, NOW - 5])),
    min_size=1,
    max_size=8,
).map(
    lambda known: [
        entry(number, urgency, NOW - age_s, NOW + 900, gone_since=gone_since)
        for number, (urgency, age_s, gone_since) in enumerate(known)
    ]
)


def names(entries: list[EscalationWaiting]) -> list[str]:
    return [waiting.conversation for waiting in entries]


@given(ENTRIES)
def test_customers_who_are_gone_wait_behind_all_others(entries: list[EscalationWaiting]) -> None:
    """Within both groups pressure decides."""
    order = queue(entries, NOW)
    assert [bool(waiting.gone_since) for waiting in order] == sorted(bool(waiting.gone_since) for waiting in order)
    for gone in (False, True):
        pressures = [pressure(each.escalation, NOW) for each in order if bool(each.gone_since) is gone]
        assert pressures == sorted(pressures, reverse=True)


@given(ENTRIES, st.data())
def test_breach_never_lifts_a_customer_who_is_gone_above_one_who_is_there(
    entries: list[EscalationWaiting], data: st.DataObject
) -> None:
    """However urgent the entry becomes."""
    number = data.draw(st.integers(0, len(entries) - 1))
    escalation = msgspec.structs.replace(entries[number].escalation, urgency="critical", breaches=9, since=0.0)
    entries[number] = msgspec.structs.replace(entries[number], escalation=escalation, gone_since=NOW - 60)
    order = queue(entries, NOW)
    behind = order[names(order).index(entries[number].conversation) :]
    assert all(waiting.gone_since for waiting in behind)


@given(ENTRIES, st.data())
def test_customer_who_returns_has_the_place_of_one_who_stayed(
    entries: list[EscalationWaiting], data: st.DataObject
) -> None:
    """The wait counts on while the page is closed."""
    number = data.draw(st.integers(0, len(entries) - 1))
    stayed = [*entries]
    stayed[number] = msgspec.structs.replace(entries[number], gone_since=0.0)
    gone = [*entries]
    gone[number] = msgspec.structs.replace(entries[number], gone_since=NOW - 60)
    returned = [*gone]
    returned[number] = msgspec.structs.replace(gone[number], gone_since=0.0)
    assert names(queue(returned, NOW)) == names(queue(stayed, NOW))
    name = entries[number].conversation
    assert names(queue(gone, NOW)).index(name) >= names(queue(stayed, NOW)).index(name)


@given(ENTRIES)
def test_position_matches_the_order_of_the_queue(entries: list[EscalationWaiting]) -> None:
    """The position in a reply is the one that the desk shows, for every entry."""
    for number, waiting in enumerate(queue(entries, NOW), start=1):
        assert queue_position(entries, waiting.conversation, waiting.escalation, NOW) == number


@given(st.floats(0, 1e6), st.floats(1, 1e5), st.floats(0, 1e5))
def test_pressure_never_decreases_with_age(age_s: float, allowed_s: float, later_s: float) -> None:
    """Waiting longer never worsens a position."""
    waiting = escalation(since=NOW, due_at=NOW + allowed_s)
    assert pressure(waiting, NOW + age_s) <= pressure(waiting, NOW + age_s + later_s)
