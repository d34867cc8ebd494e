"""A socket that resumes while the log cannot be read: it is told so and let go, never kept without its conversation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer
from trunkline_chassis.errors import BusUnavailableError
from trunkline_ingress.application.session_registry import SessionRegistry
from trunkline_ingress.core.tokens import Identity, sign
from trunkline_ingress.handlers.auth import Authenticator
from trunkline_ingress.handlers.chat import ChatEndpoint
from trunkline_ingress.ports import Unsettled
from trunkline_protocols.ids import ConversationId, Instance, TurnId
from trunkline_protocols.log import CommitStored
from trunkline_protocols.turn import SocketAttached

SECRET = b"a secret of this test"
ADA = Identity(
    conversation=ConversationId("c1"), customer="ada", tenant="default", region="local", channel="web", locale="en"
)


class FakeLine:
    """An empty line, which can be away; counts how many read it at once."""

    def __init__(self, *, away: int = 0) -> None:
        self.away = away
        self.reading = 0
        self.most_reading = 0

    async def abandon(self, turn: TurnId) -> None:
        raise AssertionError(f"nobody has ended {turn}")

    async def announce(self, region: str, attached: SocketAttached) -> None:
        pass

    async def last_commit(self, region: str, conversation: ConversationId) -> CommitStored | None:
        if self.away:
            self.away -= 1
            raise BusUnavailableError("no leader")
        self.reading += 1
        self.most_reading = max(self.most_reading, self.reading)
        await asyncio.sleep(0.001)
        self.reading -= 1
        return None

    async def unsettled(self, region: str, conversation: ConversationId, *, after: int) -> Unsettled:
        return Unsettled(0, [])


class NoNotices:
    """A notice board with nothing on it."""

    def in_force(self, audience: str, *, tenant: str) -> list[object]:
        return []


class Nobody:
    """A queue in which nobody waits."""

    values: dict[str, object] = {}  # noqa: RUF012 - a fake's constant


@asynccontextmanager
async def chat_of(line: FakeLine) -> AsyncIterator[tuple[str, SessionRegistry]]:
    connections = SessionRegistry(Instance("ingress-1"), NoNotices(), Nobody())
    chat = ChatEndpoint(
        instance=Instance("ingress-1"),
        line=line,
        connections=connections,
        authenticator=Authenticator(secret=None, operator_token=None),
        resume_secret=SECRET,
        messages_per_s=5,
        message_burst=20,
        outgoing_frames=64,
    )
    app = web.Application()
    app.add_routes([web.get("/v1/chat", chat.serve)])
    async with TestServer(app) as server:
        yield str(server.make_url("/v1/chat")), connections


def resume(identity: Identity) -> dict[str, object]:
    token = sign(identity, SECRET)
    return {"type": "resume", "conversation": identity.conversation, "resume_token": token, "last_seq": 1}


async def test_resume_that_cannot_read_the_log_closes_the_socket_and_the_next_one_succeeds() -> None:
    """With 1013 and a retryable error: the client comes again, here or at another ingress."""
    async with chat_of(FakeLine(away=1)) as (url, connections), aiohttp.ClientSession() as session:
        async with session.ws_connect(url) as socket:
            await socket.send_json(resume(ADA))
            error = await socket.receive_json(timeout=10)
            assert (error["type"], error["code"], error["retryable"]) == ("error", "unavailable", True)
            closed = await socket.receive(timeout=10)
            assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.TRY_AGAIN_LATER)
        assert len(connections) == 0
        async with session.ws_connect(url) as socket:
            await socket.send_json(resume(ADA))
            assert (await socket.receive_json(timeout=10))["recovered"] is True


async def test_many_that_resume_at_once_read_their_logs_in_turn() -> None:
    """The customers of an ingress that died all come together: so many reads at once would all take too long."""
    line = FakeLine()
    async with chat_of(line) as (url, connections), aiohttp.ClientSession() as session:

        async def come_back(number: int) -> aiohttp.ClientWebSocketResponse:
            socket = await session.ws_connect(url)
            await socket.send_json(resume(msgspec.structs.replace(ADA, conversation=ConversationId(f"c{number}"))))
            assert (await socket.receive_json(timeout=10))["recovered"] is True, number
            return socket

        sockets = await asyncio.gather(*(come_back(number) for number in range(60)))
        assert 1 < line.most_reading <= 16
        for socket in sockets:
            await socket.close()
    assert len(connections) == 0
