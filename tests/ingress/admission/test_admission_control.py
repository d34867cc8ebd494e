"""Admission at the edge: refused frames, exempt ones, and the turns that are followed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import aiohttp
import msgspec
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from structlog.testing import capture_logs
from trunkline_ingress.application.admission import AdmissionControl, OverloadedError, suite_load
from trunkline_ingress.application.session_registry import SessionRegistry
from trunkline_ingress.core.admission import AdmissionPolicy, SuiteLoad
from trunkline_ingress.core.identity import Identity
from trunkline_ingress.handlers.subscriptions import Subscriptions
from trunkline_ingress.ports import InboxPosition
from trunkline_protocols import codec, subjects
from trunkline_protocols.ids import ConversationId, Instance
from trunkline_protocols.inbox import InboxMessage, TurnReceived
from trunkline_protocols.log import CommitStored
from trunkline_protocols.presence import Presence
from trunkline_protocols.turn import SocketAttached

from tests.ingress.admission.test_controller import ANSWERED, commit_of
from tests.ingress.edge_server import START, edge, guard_of, open_socket
from tests.ingress.test_resume import ADA, EmptyQueue, FakeStreams, NoNotices

INGRESS = Instance("ingress-1")


class RecordingStreams(FakeStreams):
    """Streams that store messages."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: list[InboxMessage] = []

    async def append(
        self, region: str, conversation: ConversationId, message: InboxMessage, *, message_id: str
    ) -> InboxPosition:
        self.stored.append(message)
        return InboxPosition(len(self.stored))


class Processes:
    """Live processes."""

    def __init__(self, alive: Iterable[Presence] = ()) -> None:
        self.found = list(alive)

    def alive(self) -> list[Presence]:
        return self.found


class Clock:
    """A clock that stands still."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """Escalations at the desk."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        """Only the keys count."""


def control(burst: int = 1, *, processes: Processes | None = None, clock: Clock | None = None) -> AdmissionControl:
    return AdmissionControl(
        AdmissionPolicy(burst=burst),
        processes or Processes(),
        EmptyQueue(),
        instance=INGRESS,
        clock=clock or Clock(),
        rng=lambda: 0.5,
    )


def accept(admission: AdmissionControl, inbox_seq: int, identity: Identity = ADA, *, is_exempt: bool = False) -> None:
    with admission.reserved(identity, is_exempt=is_exempt) as begin:
        begin(inbox_seq)


def presence(service: str, instance: str, **figures: Any) -> Presence:
    return Presence(
        service=service,
        instance=instance,
        pid=1,
        state="ready",
        version="0",
        node="n",
        started_at=0.0,
        at=0.0,
        **figures,
    )


# -- on a socket ---


async def reply_to(socket: aiohttp.ClientWebSocketResponse, frame: dict[str, Any]) -> dict[str, Any]:
    await socket.send_json(frame)
    reply: dict[str, Any] = await socket.receive_json(timeout=10)
    return reply


async def test_refused_message_is_not_stored_and_may_be_sent_again() -> None:
    """The error names the message and the time; more refusals than a faulty client may cause do not slow it down."""
    streams, admission = RecordingStreams(), control()
    async with open_socket(edge(guard_of(), streams=streams, admission=admission)) as socket:
        await reply_to(socket, START)
        assert (await reply_to(socket, {"type": "message", "id": "m1", "text": "one"}))["type"] == "accepted"
        for _ in range(60):
            refused = await reply_to(socket, {"type": "message", "id": "m2", "text": "two"})
            assert (refused["code"], refused["id"], refused["retryable"]) == ("unavailable", "m2", True)
            assert 0.5 < refused["retry_after_s"] < 20
        assert (await reply_to(socket, {"type": "message", "id": "m1", "text": "one"}))["seq"] == 2
        person = await reply_to(socket, {"type": "request_person", "id": "p1"})
        assert (person["type"], person["id"]) == ("accepted", "p1")
        conversation = streams.stored[0].conversation
        admission.forget(conversation)
        assert (await reply_to(socket, {"type": "message", "id": "m2", "text": "two"}))["type"] == "accepted"
    assert [message.message_id for message in streams.stored if isinstance(message, TurnReceived)] == ["m1", "p1", "m2"]


async def test_message_that_could_not_be_stored_is_not_counted() -> None:
    """Its customer resumes and sends it again."""
    admission = control()
    with pytest.raises(RuntimeError), admission.reserved(ADA, is_exempt=False):
        raise RuntimeError("no acknowledgement")
    assert admission.in_flight == 0
    accept(admission, 1)


# -- decisions ---


def test_person_and_desk_are_never_refused() -> None:
    """A conversation at the desk does not count either."""
    desk = Desk()
    admission = AdmissionControl(AdmissionPolicy(burst=1), Processes(), desk, instance=INGRESS, clock=Clock())
    accept(admission, 1)
    with pytest.raises(OverloadedError):
        accept(admission, 2)
    accept(admission, 2, is_exempt=True)
    assert admission.in_flight == 2
    desk.values["c1"] = None
    accept(admission, 3)
    assert admission.in_flight == 2


def test_unproven_tenants_have_one_share() -> None:
    """Else anyone could take the shares of others by names."""
    admission = control(burst=2)
    for number in (1, 2):
        accept(admission, number, msgspec.structs.replace(ADA, tenant=f"t{number}"))
    with pytest.raises(OverloadedError):
        accept(admission, 3, msgspec.structs.replace(ADA, tenant="t3"))
    accept(admission, 3, msgspec.structs.replace(ADA, tenant="t3", verified=True))


def test_episode_is_logged_once() -> None:
    """With its length and the number of refusals when it is over."""
    clock = Clock()
    admission = control(clock=clock)
    accept(admission, 1)
    with capture_logs() as logs:
        for _ in range(20):
            with pytest.raises(OverloadedError):
                accept(admission, 2)
            clock.now += 0.5
        assert admission.is_refusing
        admission.refresh()
        clock.now += 3.0
        admission.refresh()
        assert not admission.is_refusing
    assert [entry["event"] for entry in logs] == ["admission.refusing", "admission.recovered"]
    assert (logs[1]["refused"], logs[1]["duration_s"]) == (20, 9.5)


# -- progress of turns ---


async def test_answer_ends_a_turn_whose_socket_is_closed() -> None:
    """Commits of other conversations are not even decoded."""
    admission = control()
    accept(admission, 5)
    subscriptions = Subscriptions(INGRESS, SessionRegistry(NoNotices(), EmptyQueue()), admission)
    await subscriptions.on_outgoing(message(subjects.out(INGRESS, ConversationId("c2")), b"not JSON"))
    payload = codec.encode(CommitStored(sequence=9, commit=commit_of([ANSWERED])))
    await subscriptions.on_outgoing(message(subjects.out(INGRESS, ADA.conversation), payload))
    assert admission.in_flight == 0


async def test_turn_is_followed_by_the_ingress_that_holds_the_socket() -> None:
    """The one that accepted it forgets it, the one where the customer resumes adopts it."""
    admission = control()
    accept(admission, 5)
    subscriptions = Subscriptions(INGRESS, SessionRegistry(NoNotices(), EmptyQueue()), admission)
    attached = SocketAttached(conversation=ADA.conversation, ingress=Instance("ingress-2"), attached_at=1.0)
    await subscriptions.on_attached(message("attach.local.1.c1", codec.encode(attached)))
    assert admission.in_flight == 0
    admission.adopt(ADA, [5, 6])
    admission.adopt(ADA, [5, 6])
    assert admission.in_flight == 2


def message(subject: str, payload: bytes) -> Msg:
    return Msg(_client=Client(), subject=subject, data=payload)


# -- heartbeats ---


def test_load_is_read_from_the_heartbeats_of_the_others() -> None:
    """Turns in flight of ingresses, calls of gateways and agents, and the oldest work that waits."""
    alive = [
        presence("ingress", "ingress-1", turns=50),
        presence("ingress", "ingress-2", turns=7),
        presence("llm_gateway", "llm_gateway-1", outside=20, work_age_s=1.5),
        presence("llm_gateway", "llm_gateway-2", outside=10),
        presence("agents", "agents-1", outside=2, work_age_s=2.5),
        presence("rag", "rag-1"),
    ]
    assert suite_load(alive, INGRESS) == SuiteLoad(ingresses=2, in_flight=7, outside=32, work_age_s=2.5)
    earlier = presence("llm_gateway", "llm_gateway-3")
    assert suite_load([*alive, earlier], INGRESS).outside is None
