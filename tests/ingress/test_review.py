"""Turns to review: which commits and ratings are listed, and how much of the streams is read."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from trunkline_chassis.bus import Bus
from trunkline_ingress.adapters.nats.recent_records import NatsRecentRecords
from trunkline_ingress.application.review_index import MAX_ITEMS, MAX_READ, ReviewIndex
from trunkline_ingress.core.operators import Operator, Role
from trunkline_ingress.handlers.access import AccessControl
from trunkline_ingress.handlers.ops.review import ReviewOps
from trunkline_ingress.ports import RecentMessages
from trunkline_protocols import codec, subjects
from trunkline_protocols.ids import ConversationId, TurnId
from trunkline_protocols.inbox import FeedbackGiven
from trunkline_protocols.log import Commit, Escalated, Event, HandedOff, OwnerAssigned, TurnAnswered

from tests.ingress.conversation_simulator import ConversationSimulator, received, simulate
from tests.ingress.test_desk_cases import Views
from tests.support.borders import ListedBorders

ROUTED: Final = OwnerAssigned(to="billing", agent="billing-one")
HANDED_OFF: Final = HandedOff(from_="billing", to="technical", agent="one", reason="a lamp", summary="s")
ESCALATED: Final = Escalated(from_="billing", urgency="high", reason="2 questions without an answer", summary="s")


def answered(text: str = "Why?", *, abstained: bool = False) -> TurnAnswered:
    """Return an answer of billing."""
    return TurnAnswered(
        message_id="m",
        accepted_seq=2,
        text=text,
        received_at=1.0,
        answer="Because.",
        specialty="billing",
        agent="one",
        abstained=abstained,
    )


def commit(*events: Event, conversation: str = "c1", turn: str = "c1-1", at: float = 10.0) -> Commit:
    """Return a commit with these events."""
    return Commit(
        conversation=ConversationId(conversation),
        region="local",
        tenant="default",
        customer="ada",
        kind="turn",
        turn=TurnId(turn),
        epoch=0,
        owner="billing",
        agent="one",
        inbox_seq=1,
        previous=0,
        frames_before=0,
        at=at,
        events=list(events),
    )


def rated(rating: int, text: str = "", conversation: str = "c1", at: float = 20.0) -> FeedbackGiven:
    """Return a rating."""
    return FeedbackGiven(
        conversation=ConversationId(conversation), previous=1, rating=rating, received_at=at, text=text
    )


@dataclass
class FakeRecords:
    """Streams in memory; the n-th message has sequence n."""

    log: list[Commit] = field(default_factory=list)
    inbox: list[FeedbackGiven] = field(default_factory=list)
    read: int = 0

    async def commits(self, region: str, *, after: int, limit: int) -> RecentMessages[Commit]:
        """Read the log."""
        found = self.log[max(after, len(self.log) - limit) :]
        self.read += len(found)
        return RecentMessages(len(self.log), found)

    async def ratings(self, region: str, *, after: int, limit: int) -> RecentMessages[FeedbackGiven]:
        """Read the inbox."""
        return RecentMessages(len(self.inbox), self.inbox[max(after, len(self.inbox) - limit) :])


async def found_in(log: Sequence[Commit], inbox: Sequence[FeedbackGiven] = ()) -> list[tuple[Any, ...]]:
    """Return kind, specialties, rating, reason and text of the items."""
    items = await ReviewIndex(FakeRecords([*log], [*inbox]), "local").latest()
    return [(item.kind, item.specialty, item.to, item.rating, item.reason, item.text) for item in items]


async def test_unanswered_turn_is_listed_with_the_question() -> None:
    """An answer that cites the knowledge base is not."""
    assert await found_in([commit(answered()), commit(answered("Who?", abstained=True))]) == [
        ("unanswered", "billing", "", 0, "", "Who?")
    ]


async def test_handoff_right_after_routing_is_a_misroute() -> None:
    """A later one is the normal course of a conversation. The question comes from the commit of the answer."""
    log = [
        commit(ROUTED, HANDED_OFF),
        commit(answered("My lamp flickers"), at=11.0),
        commit(HANDED_OFF, turn="c1-2", at=12.0),
        commit(answered("And my bill?"), turn="c1-2", at=13.0),
    ]
    assert await found_in(log) == [("misroute", "billing", "technical", 0, "a lamp", "My lamp flickers")]


async def test_escalation_after_a_failure_is_a_misroute() -> None:
    """At once after routing, or after an unanswered turn; an escalation out of the blue is not."""
    reason = ESCALATED.reason
    assert await found_in([commit(ROUTED, ESCALATED)]) == [("misroute", "billing", "escalation", 0, reason, "")]
    assert await found_in([commit(answered()), commit(ESCALATED)]) == []
    unanswered = commit(answered("Who?", abstained=True))
    assert await found_in([unanswered, commit(ESCALATED, turn="c1-2", at=11.0)]) == [
        ("misroute", "billing", "escalation", 0, reason, ""),
        ("unanswered", "billing", "", 0, "", "Who?"),
    ]
    assert await found_in([commit(answered(abstained=True), conversation="c2"), commit(ESCALATED)]) == [
        ("unanswered", "billing", "", 0, "", "Why?")
    ]


async def test_low_rating_is_listed_until_the_customer_changes_it() -> None:
    """With the specialty of the last answer, and the last question if the customer wrote no text."""
    log = [commit(answered("Why?"))]
    assert await found_in(log, [rated(2)]) == [("low_rating", "billing", "", 2, "", "Why?")]
    assert await found_in(log, [rated(2), rated(1, "Too slow")]) == [("low_rating", "billing", "", 1, "", "Too slow")]
    assert await found_in(log, [rated(1), rated(5)]) == []
    assert await found_in(log, [rated(3)]) == []
    assert await found_in([], [rated(1)]) == [("low_rating", "", "", 1, "", "")]


async def test_each_message_is_read_once_and_older_ones_are_left_out() -> None:
    """The number of items and of messages per request has a limit."""
    records = FakeRecords([commit(answered(abstained=True), at=float(at)) for at in range(MAX_READ + 5)])
    index = ReviewIndex(records, "local")
    items = await index.latest()
    assert len(items) == MAX_ITEMS
    assert (records.read, index.since, items[0].at) == (MAX_READ, 5.0, MAX_READ + 4.0)
    records.log.append(commit(answered(abstained=True), at=9_999.0))
    assert (await index.latest())[0].at == 9_999.0
    assert records.read == MAX_READ + 1


@pytest.mark.parametrize(
    ("role", "reads_texts"),
    [("viewer", False), ("agent", False), ("lead", True), ("admin", True), ("auditor", True)],
)
async def test_texts_are_shown_to_roles_that_may_read_every_conversation(role: Role, *, reads_texts: bool) -> None:
    """The others see where and when, and no word of a customer."""

    class Directory:
        def find(self, token: str) -> Operator | None:
            return Operator(name="Ada", role=role) if token == "key" else None

    records = FakeRecords([commit(ROUTED, HANDED_OFF), commit(answered("My secret", abstained=True), at=11.0)])
    access = AccessControl(Directory(), is_single_machine=False, rules={}, borders=ListedBorders())
    app = web.Application(middlewares=[access.enforce])
    access.add_routes(app, ReviewOps(ReviewIndex(records, "local"), Views(), "local").routes())  # type: ignore[arg-type]
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession(headers={"Authorization": "Bearer key"}) as session,
        session.get(server.make_url("/v1/ops/review")) as response,
    ):
        assert response.status == 200
        body = await response.text()
    assert [item["kind"] for item in msgspec.json.decode(body)["items"]] == ["unanswered", "misroute"]
    for text in ("My secret", "a lamp"):
        assert (text in body) is reads_texts


# -- on a real server ---


async def append(bus: Bus, subject: str, payload: bytes) -> None:
    """Store a message."""
    await bus.append(subject, payload, message_id=secrets.token_hex(8))


@pytest.mark.processes
async def test_ends_of_the_streams_are_read_with_a_limit(bus: Bus) -> None:
    """Of one region; an undecodable message is left out, and a repeated read starts behind the last one."""
    region = f"r{secrets.token_hex(4)}"
    records = NatsRecentRecords(bus)
    assert (await records.commits(region, after=0, limit=10)).messages == []
    log = [commit(answered(str(number)), conversation=f"c{number}") for number in range(6)]
    for each in log:
        await append(bus, subjects.log(region, each.conversation, "turn"), codec.encode(each))
    await append(bus, subjects.log(region, ConversationId("cbad"), "turn"), b"{}")
    await append(bus, subjects.log("elsewhere", ConversationId("c9"), "turn"), codec.encode(log[0]))
    first = await records.commits(region, after=0, limit=3)
    assert first.messages == log[-2:]
    assert (await records.commits(region, after=first.end, limit=3)).messages == []
    await append(bus, subjects.log(region, ConversationId("c7"), "turn"), codec.encode(log[0]))
    assert (await records.commits(region, after=first.end, limit=3)).messages == [log[0]]

    simulator: ConversationSimulator = simulate([])
    for message in (received("m1", simulator.ledger), rated(1, "Slow")):
        await append(bus, subjects.inbox(region, message.conversation), codec.encode(message))
    assert (await records.ratings(region, after=0, limit=10)).messages == [rated(1, "Slow")]
