"""Resume over a real WebSocket while the log cannot be read, and many resumes at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer
from nats.aio.client import Client
from nats.aio.msg import Msg
from trunkline_chassis.errors import BusUnavailableError
from trunkline_ingress.application.session import SessionPorts
from trunkline_ingress.application.session_opener import SessionOpener
from trunkline_ingress.application.session_registry import SessionRegistry
from trunkline_ingress.core.identity import Identity
from trunkline_ingress.core.resume_tokens import sign, verify
from trunkline_ingress.handlers.auth import Authenticator
from trunkline_ingress.handlers.chat import ChatEndpoint
from trunkline_ingress.handlers.subscriptions import Subscriptions
from trunkline_ingress.ports import InboxPosition, UnsettledMessages
from trunkline_protocols import codec, subjects
from trunkline_protocols.broadcast import NoticePublished
from trunkline_protocols.escalation import EscalationWaiting
from trunkline_protocols.ids import ConversationId, Instance, TurnId
from trunkline_protocols.inbox import InboxMessage
from trunkline_protocols.log import CommitStored
from trunkline_protocols.subjects import Audience
from trunkline_protocols.turn import SocketAttached

from tests.ingress.guards import open_guard
from tests.support.borders import ListedBorders

SECRET = b"a secret of this test"
ADA = Identity(
    conversation=ConversationId("c1"), customer="ada", tenant="default", region="local", channel="web", locale="en"
)


class FakeStreams:
    """Streams without messages, unavailable for the first reads; counts concurrent reads."""

    def __init__(self, *, failures: int = 0) -> None:
        self.failures = failures
        self.election_s: list[float] = []
        """Seconds that the announcement of each next session waits."""
        self.readers = 0
        self.max_readers = 0

    async def append(
        self, region: str, conversation: ConversationId, message: InboxMessage, *, message_id: str
    ) -> InboxPosition:
        raise AssertionError("no client sends a message")

    async def unsettled(self, region: str, conversation: ConversationId, *, after: int) -> UnsettledMessages:
        return UnsettledMessages(0, [])

    async def contains(self, region: str, conversation: ConversationId) -> bool:
        return conversation == ADA.conversation

    async def last_commit(self, region: str, conversation: ConversationId) -> CommitStored | None:
        if self.failures:
            self.failures -= 1
            raise BusUnavailableError("no leader")
        self.readers += 1
        self.max_readers = max(self.max_readers, self.readers)
        await asyncio.sleep(0.001)
        self.readers -= 1
        return None

    async def commits(self, region: str, conversation: ConversationId, *, after: int) -> list[CommitStored]:
        return []

    async def commit_at(self, sequence: int) -> CommitStored | None:
        return None

    async def cancel(self, turn: TurnId) -> None:
        raise AssertionError(f"no client has ended {turn}")

    async def announce(self, region: str, attached: SocketAttached) -> None:
        if self.election_s:
            await asyncio.sleep(self.election_s.pop(0))


class NoNotices:
    """No active notices."""

    def active(self, audience: Audience, *, tenant: str = "") -> list[NoticePublished]:
        return []


class EmptyQueue:
    """An empty escalation queue."""

    values: dict[str, EscalationWaiting] = {}  # noqa: RUF012 - a fake's constant


@asynccontextmanager
async def chat_server(streams: FakeStreams) -> AsyncIterator[tuple[str, SessionRegistry]]:
    sessions = SessionRegistry(NoNotices(), EmptyQueue())
    chat = ChatEndpoint(
        opener=SessionOpener(
            instance=Instance("ingress-1"),
            borders=ListedBorders(),
            ports=SessionPorts(inbox=streams, log=streams, presence=streams, canceller=streams),
            sessions=sessions,
            resume_secret=SECRET,
            resume_ttl_s=3_600.0,
            max_queued_frames=64,
        ),
        authenticator=Authenticator(None),
        guard=open_guard(),
        first_frame_timeout_s=60.0,
    )
    app = web.Application()
    app.add_routes([web.get("/v1/chat", chat.serve)])
    async with TestServer(app) as server:
        yield str(server.make_url("/v1/chat")), sessions


@asynccontextmanager
async def client_socket(url: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as client, client.ws_connect(url) as socket:
        yield socket


def resume_frame(identity: Identity) -> dict[str, object]:
    token = sign(identity, SECRET, expires_at=time.time() + 3_600)
    return {"type": "resume", "conversation": identity.conversation, "resume_token": token, "last_seq": 1}


async def test_resume_that_cannot_read_the_log_closes_the_socket_and_the_next_one_succeeds() -> None:
    """With 1013 and a retryable error: the client retries, here or at another ingress."""
    async with chat_server(FakeStreams(failures=1)) as (url, sessions), aiohttp.ClientSession() as client:
        async with client.ws_connect(url) as socket:
            await socket.send_json(resume_frame(ADA))
            error = await socket.receive_json(timeout=10)
            assert (error["type"], error["code"], error["retryable"]) == ("error", "unavailable", True)
            closed = await socket.receive(timeout=10)
            assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.TRY_AGAIN_LATER)
        assert len(sessions) == 0
        async with client.ws_connect(url) as socket:
            await socket.send_json(resume_frame(ADA))
            assert (await socket.receive_json(timeout=10))["recovered"] is True


async def test_concurrent_resumes_are_bounded() -> None:
    """All customers of an ingress that died resume at once: without a bound, every read would be slow."""
    streams = FakeStreams()
    async with chat_server(streams) as (url, sessions), aiohttp.ClientSession() as client:

        async def resume(number: int) -> aiohttp.ClientWebSocketResponse:
            socket = await client.ws_connect(url)
            identity = msgspec.structs.replace(ADA, conversation=ConversationId(f"c{number}"))
            await socket.send_json(resume_frame(identity))
            assert (await socket.receive_json(timeout=10))["recovered"] is True, number
            return socket

        sockets = await asyncio.gather(*(resume(number) for number in range(60)))
        assert 1 < streams.max_readers <= 16
        for socket in sockets:
            await socket.close()
    assert len(sessions) == 0


async def test_refused_resume_keeps_the_socket_open() -> None:
    """`unauthorized` for a wrong token, `not_found` for an unknown conversation; a valid resume may follow."""
    async with chat_server(FakeStreams()) as (url, sessions), client_socket(url) as socket:
        for conversation, code in (("c1", "unauthorized"), ("c2", "not_found")):
            await socket.send_json({**resume_frame(ADA), "conversation": conversation, "resume_token": "x.y"})
            error = await socket.receive_json(timeout=10)
            assert (error["type"], error["code"], error["retryable"]) == ("error", code, False)
        await socket.send_json(resume_frame(ADA))
        assert (await socket.receive_json(timeout=10))["recovered"] is True
        await socket.send_json(resume_frame(ADA))
        assert (await socket.receive_json(timeout=10))["code"] == "bad_frame"
    assert len(sessions) == 0


async def test_only_the_region_of_the_suite_is_served() -> None:
    """A message of another region would be stored and never answered: neither `start` nor `resume` opens it."""
    elsewhere = msgspec.structs.replace(ADA, region="elsewhere")
    async with chat_server(FakeStreams()) as (url, sessions), client_socket(url) as socket:
        for frame, code in (
            ({"type": "start", "customer": "ada", "region": "elsewhere"}, "bad_frame"),
            (resume_frame(elsewhere), "not_found"),
        ):
            await socket.send_json(frame)
            error = await socket.receive_json(timeout=10)
            assert (error["type"], error["code"], error["retryable"]) == ("error", code, False)
        assert len(sessions) == 0
        await socket.send_json({"type": "start", "customer": "ada"})
        started = await socket.receive_json(timeout=10)
        identity = verify(started["resume_token"], SECRET, now=time.time())
        assert identity is not None
        assert identity.region == "local"


async def test_last_seq_that_was_never_assigned_is_not_recovered() -> None:
    """The session is not registered, and the socket may start a new conversation."""
    async with chat_server(FakeStreams()) as (url, sessions), client_socket(url) as socket:
        await socket.send_json({**resume_frame(ADA), "last_seq": 7})
        assert (await socket.receive_json(timeout=10))["recovered"] is False
        assert len(sessions) == 0
        await socket.send_json({"type": "start", "customer": "ada"})
        assert (await socket.receive_json(timeout=10))["seq"] == 1
        assert len(sessions) == 1
    assert len(sessions) == 0


async def test_late_announcement_of_an_older_socket_does_not_close_a_newer_one() -> None:
    """A server that was frozen delivers the announcements that it received before; a newer socket takes over."""
    async with chat_server(FakeStreams()) as (url, sessions), client_socket(url) as socket:
        subscriptions = Subscriptions(Instance("ingress-1"), sessions)
        before = time.time()
        await socket.send_json(resume_frame(ADA))
        assert (await socket.receive_json(timeout=10))["recovered"] is True

        async def announce(attached_at: float) -> None:
            attached = SocketAttached(
                conversation=ADA.conversation, ingress=Instance("ingress-2"), attached_at=attached_at
            )
            subject = subjects.attach("local", ADA.conversation)
            await subscriptions.on_attached(Msg(Client(), subject=subject, data=codec.encode(attached)))

        await announce(before)
        await socket.send_json(resume_frame(ADA))
        assert (await socket.receive_json(timeout=10))["code"] == "bad_frame", "the socket is open"
        await announce(time.time())
        assert (await socket.receive_json(timeout=10))["code"] == "unavailable"
        closed = await socket.receive(timeout=10)
        assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 4001)


async def test_client_that_pings_is_answered_while_its_resume_waits_for_an_election() -> None:
    """Frames that it sends meanwhile are handled afterwards, in their order, and so is its end of the socket."""
    streams = FakeStreams()
    streams.election_s = [3.0]
    async with chat_server(streams) as (url, sessions), aiohttp.ClientSession() as client:
        async with client.ws_connect(url, heartbeat=1.0) as socket:
            await socket.send_json(resume_frame(ADA))
            for number in range(4):
                await socket.send_json({"type": "start", "customer": f"late-{number}"})
            assert (await socket.receive_json(timeout=10))["recovered"] is True, "the client gave up the socket"
            for _ in range(4):
                assert (await socket.receive_json(timeout=10))["code"] == "bad_frame"
        async with asyncio.timeout(30):
            while sessions:
                await asyncio.sleep(0.05)


async def test_resume_that_waited_does_not_replace_a_newer_socket() -> None:
    """Its client has given it up, and was served on another socket since."""
    streams = FakeStreams()
    streams.election_s = [2.0, 0.0]
    async with chat_server(streams) as (url, sessions), client_socket(url) as old, client_socket(url) as new:
        await old.send_json(resume_frame(ADA))
        async with asyncio.timeout(10):
            while streams.election_s == [2.0, 0.0]:
                await asyncio.sleep(0.01)
        await new.send_json(resume_frame(ADA))
        assert (await new.receive_json(timeout=10))["recovered"] is True
        assert (await old.receive_json(timeout=10))["recovered"] is True
        assert (await old.receive_json(timeout=10))["message"] == "the conversation continues on another connection"
        await new.send_json(resume_frame(ADA))
        assert (await new.receive_json(timeout=10))["code"] == "bad_frame", "the newer socket is open"
        assert len(sessions) == 1
