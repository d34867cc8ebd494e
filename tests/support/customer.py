"""A WebSocket client for tests: it records every frame and checks the guarantees of the protocol."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

TIMEOUT_S = 30.0


class Customer:
    """A chat client of a suite that records the received frames."""

    def __init__(self, url: str, name: str = "ada", *, token: str = "") -> None:
        """`url` is the base address of the suite, `token` the access token, if it needs one."""
        self._url = url
        self._credentials = {"token": token} if token else {}
        self.name = name
        self.frames: list[dict[str, Any]] = []
        self.conversation = ""
        self.resume_token = ""
        self.last_seq = 0
        self._session: aiohttp.ClientSession | None = None
        self.socket: aiohttp.ClientWebSocketResponse | None = None

    async def __aenter__(self) -> Self:
        """Open the socket."""
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the socket and the HTTP session."""
        if self._session is not None:
            await self._session.close()

    async def connect(self) -> None:
        """Open a new socket; abort the old one without a close handshake."""
        if self._session is not None:
            if self.socket is not None and self.socket._response.connection is not None:
                transport = self.socket._response.connection.transport
                if transport is not None:
                    transport.abort()
            await self._session.close()
        self._session = aiohttp.ClientSession()
        try:
            self.socket = await self._session.ws_connect(
                f"{self._url}/v1/chat", protocols=("trunkline.v1",), max_msg_size=0
            )
        except BaseException:
            await self._session.close()
            raise

    async def send(self, frame: dict[str, Any] | str | bytes) -> None:
        """Send a frame, raw text or raw bytes."""
        assert self.socket is not None
        if isinstance(frame, bytes):
            await self.socket.send_bytes(frame)
        else:
            await self.socket.send_str(frame if isinstance(frame, str) else msgspec.json.encode(frame).decode())

    async def start(self) -> dict[str, Any]:
        """Start a conversation."""
        await self.send({"type": "start", "customer": self.name, **self._credentials})
        started = await self.until("started")
        self.conversation, self.resume_token = started["conversation"], started["resume_token"]
        return started

    def move_to(self, url: str) -> None:
        """Connect to another suite from the next socket on."""
        self._url = url

    async def resume(self) -> dict[str, Any]:
        """Resume the conversation on a new socket."""
        await self.connect()
        await self.send(
            {
                "type": "resume",
                "conversation": self.conversation,
                "resume_token": self.resume_token,
                "last_seq": self.last_seq,
                **self._credentials,
            }
        )
        return await self.until("resumed")

    async def say(self, id_: str, text: str) -> None:
        """Send a message."""
        await self.send({"type": "message", "id": id_, "text": text})

    async def ask(self, id_: str, text: str) -> dict[str, Any]:
        """Send a message and wait for its answer."""
        await self.say(id_, text)
        return await self.answer_to(id_)

    async def answer_to(self, id_: str) -> dict[str, Any]:
        """Wait for the answer to a message."""
        while True:
            message = await self.until("message")
            if message["in_reply_to"] == id_:
                return message

    async def article(self, document: str, rev: int = 0) -> dict[str, Any] | None:
        """Return an article that the conversation cites, None if it is not found."""
        assert self._session is not None
        headers = {"Trunkline-Resume-Token": self.resume_token}
        async with self._session.get(f"{self._url}/v1/articles/{document}?rev={rev}", headers=headers) as response:
            if response.status == HTTPStatus.NOT_FOUND:
                return None
            assert response.status == HTTPStatus.OK, await response.text()
            found: dict[str, Any] = msgspec.json.decode(await response.read())
            return found

    async def until(self, type_: str) -> dict[str, Any]:
        """Wait for a frame of a type; fail on an error frame."""
        while True:
            frame = await self.receive()
            if frame["type"] == type_:
                return frame
            assert frame["type"] != "error", frame

    async def receive(self) -> dict[str, Any]:
        """Wait for one frame; durable frames must arrive without a gap or a repetition."""
        assert self.socket is not None
        message = await asyncio.wait_for(self.socket.receive(), TIMEOUT_S)
        assert message.type is aiohttp.WSMsgType.TEXT, f"closed with {self.socket.close_code}"
        frame: dict[str, Any] = msgspec.json.decode(message.data)
        if "seq" in frame and not (frame["type"] == "accepted" and frame["seq"] <= self.last_seq):
            assert frame["seq"] == self.last_seq + 1, f"unexpected after {self.last_seq}: {frame}"
            self.last_seq = frame["seq"]
        self.frames.append(frame)
        return frame

    def frames_of(self, type_: str) -> list[dict[str, Any]]:
        """Return the received frames of a type."""
        return [frame for frame in self.frames if frame["type"] == type_]
