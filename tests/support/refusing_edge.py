"""A chat endpoint that refuses each message once, as an ingress beyond its capacity does, and then answers it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from aiohttp import WSMsgType, web
from trunkline_protocols import codec
from trunkline_protocols.frames import (
    AcceptedFrame,
    DeltaFrame,
    ErrorFrame,
    Message,
    MessageFrame,
    ServerFrame,
    Start,
    StartedFrame,
)

from tests.support.http_server import serve_http

RETRY_AFTER_S: Final = 0.7
ANSWER: Final = "Within five days."


@dataclass(slots=True)
class RefusingEdge:
    """The attempts at each message, by id: seconds of the event loop's clock."""

    url: str = ""
    attempts: dict[str, list[float]] = field(default_factory=dict)

    def assert_heeded(self, messages: int = 1) -> None:
        """Each message came twice under its id, the second time not before the refusal permits."""
        assert len(self.attempts) == messages
        for first, second in self.attempts.values():
            assert second - first >= RETRY_AFTER_S

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one socket."""
        socket = web.WebSocketResponse(protocols=("trunkline.v1",))
        await socket.prepare(request)
        seq = 0
        async for received in socket:
            if received.type is not WSMsgType.TEXT:
                break
            match codec.client_frame.decode(received.data.encode()):
                case Start():
                    seq = 1
                    await _send(socket, StartedFrame(conversation="c1", resume_token="token", seq=seq))
                case Message(id=id_):
                    attempts = self.attempts.setdefault(id_, [])
                    attempts.append(asyncio.get_running_loop().time())
                    if len(attempts) == 1:
                        await _send(socket, _refusal(id_))
                        continue
                    await _send(socket, AcceptedFrame(id=id_, seq=seq + 1))
                    await _send(socket, DeltaFrame(turn=f"t-{id_}", text=ANSWER))
                    await _send(socket, _answer(id_, seq + 2))
                    seq += 2
                case _:
                    pass
        return socket


@asynccontextmanager
async def serve_refusals(*routes: web.RouteDef) -> AsyncIterator[RefusingEdge]:
    """Serve the endpoint, and further routes at its origin."""
    edge = RefusingEdge()
    async with serve_http([web.get("/v1/chat", edge.handle), *routes]) as edge.url:
        yield edge


def _refusal(id_: str) -> ErrorFrame:
    return ErrorFrame(code="unavailable", message="too much", retryable=True, id=id_, retry_after_s=RETRY_AFTER_S)


def _answer(id_: str, seq: int) -> MessageFrame:
    return MessageFrame(
        turn=f"t-{id_}", seq=seq, text=ANSWER, specialty="billing", agent="ada", citations=[], in_reply_to=id_
    )


async def _send(socket: web.WebSocketResponse, frame: ServerFrame) -> None:
    await socket.send_str(codec.encode(frame).decode())
