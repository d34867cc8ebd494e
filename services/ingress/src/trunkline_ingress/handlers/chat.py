"""The WebSocket: frames of the client, and who handles them.

    start      -> `_start`         a new conversation
    resume     -> `_resume`        go on with one, replaying what was missed
    message    -> `Session.say`
    end        -> `Session.end`
    feedback   -> `Session.rate`
    cancel     -> `Session.cancel_wait`

A bad frame gets `error` and the socket stays open. Bytes that are not JSON close it with 1007, binary frames with 1003,
frames over 64 KiB with 1009, a conversation that goes on in another socket with 4001, numbers that were lost with 1013.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Final, assert_never
from weakref import WeakSet

import msgspec
import structlog
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from trunkline_chassis.errors import BusError
from trunkline_protocols import codec
from trunkline_protocols.frames import (
    MAX_FRAME_BYTES,
    MAX_TEXT_CHARACTERS,
    SUBPROTOCOL,
    ClientFrame,
    End,
    ErrorCode,
    ErrorFrame,
    Feedback,
    LeaveQueue,
    Message,
    Resume,
    ResumedFrame,
    ServerFrame,
    Start,
    StartedFrame,
)
from trunkline_protocols.ids import ConversationId, Instance, conversation_id
from trunkline_protocols.turn import SocketAttached

from trunkline_ingress.application.session import LostTrackError, Session, SlowReaderError
from trunkline_ingress.application.session_registry import SessionRegistry
from trunkline_ingress.core.ledger import STARTED_SEQ
from trunkline_ingress.core.limits import TokenBucket
from trunkline_ingress.core.tokens import Identity, sign, verify
from trunkline_ingress.handlers.auth import Authenticator, Claims, UnauthorizedError
from trunkline_ingress.ports import Line

_log: Final = structlog.get_logger(__name__)

CONTINUED_ELSEWHERE: Final = 4001
_RESTORES_AT_ONCE: Final = 16
"""Every customer of an ingress that died resumes at the same moment, and each of them reads."""


class CloseSocketError(Exception):
    """The socket cannot go on; `frame` is told before it closes with `code`."""

    def __init__(self, code: int, frame: ErrorFrame) -> None:
        """Keep what to tell."""
        super().__init__(frame.message)
        self.code = code
        self.frame = frame


@dataclass(frozen=True, slots=True)
class ChatEndpoint:
    """Serves `GET /v1/chat`."""

    instance: Instance
    line: Line
    connections: SessionRegistry
    authenticator: Authenticator
    resume_secret: bytes
    messages_per_s: float
    message_burst: int
    outgoing_frames: int
    sockets: WeakSet[web.WebSocketResponse] = field(default_factory=WeakSet)
    restores: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_RESTORES_AT_ONCE))

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one socket from its first frame to its end."""
        claims = self.authenticator.claims(request)
        socket = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,), max_msg_size=MAX_FRAME_BYTES, heartbeat=20.0, compress=False, timeout=2.0
        )
        await socket.prepare(request)
        self.sockets.add(socket)
        await _Socket(self, socket, claims).run()
        return socket

    async def hang_up(self) -> None:
        """Close every socket: the clients resume, here after the restart or at another ingress."""
        await asyncio.gather(*(socket.close(code=WSCloseCode.GOING_AWAY) for socket in list(self.sockets)))


class _Socket:
    """One socket."""

    def __init__(self, chat: ChatEndpoint, socket: web.WebSocketResponse, claims: Claims | None) -> None:
        self._chat = chat
        self._socket = socket
        self._claims = claims
        self._connection: Session | None = None
        self._replaced = asyncio.Event()
        self._bucket = TokenBucket(rate_per_s=chat.messages_per_s, burst=chat.message_burst, now=time.monotonic())

    async def run(self) -> None:
        """Read frames until the socket closes, while the connection writes; whichever ends, ends both."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(tasks))
        except* _SocketClosed:
            pass
        except* CloseSocketError as group:
            await self._close(group.exceptions[0])
        except* SlowReaderError:
            await self._socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"read faster, then resume")
        except* BusError:
            await self._close(_please_resume())
        except* (ConnectionResetError, BrokenPipeError):
            pass
        finally:
            if self._connection is not None:
                self._chat.connections.remove(self._connection)
            if not self._socket.closed:
                await self._socket.close()

    async def _close(self, error: BaseException) -> None:
        if isinstance(error, CloseSocketError) and not self._socket.closed:
            await self._write(error.frame)
            await self._socket.close(code=error.code, message=error.frame.message.encode()[:120])

    async def _read(self, tasks: asyncio.TaskGroup) -> None:
        async for message in self._socket:
            frame = self._parse(message)
            try:
                reply = frame if isinstance(frame, ErrorFrame) else await self._handle(frame, tasks)
            except LostTrackError as error:
                _log.info("connection.lost_track", conversation=self._conversation(), reason=str(error))
                raise _please_resume() from error
            except BusError as error:
                _log.warning("connection.unavailable", conversation=self._conversation(), error=str(error))
                reply = _error("unavailable", "the service is not reachable right now", retryable=True)
            if reply is not None:
                await self._write(reply)
        raise _SocketClosed

    def _conversation(self) -> str:
        return self._connection.conversation if self._connection is not None else ""

    # -- frames ---

    def _parse(self, message: WSMessage) -> ClientFrame | ErrorFrame:
        if message.type is not WSMsgType.TEXT:
            raise CloseSocketError(WSCloseCode.UNSUPPORTED_DATA, _error("bad_frame", "only text frames are understood"))
        try:
            return codec.client_frame.decode(message.data)
        except codec.ValidationError as error:
            return _explain(message.data, str(error))
        except codec.DecodeError as error:
            raise CloseSocketError(WSCloseCode.INVALID_TEXT, _error("bad_frame", f"not JSON: {error}")) from error

    async def _handle(self, frame: ClientFrame, tasks: asyncio.TaskGroup) -> ServerFrame | None:
        match frame:
            case Start():
                return await self._start(frame, tasks)
            case Resume():
                return await self._resume(frame, tasks)
            case Message() | End() | Feedback() | LeaveQueue():
                return await self._talk(frame)
            case _:
                assert_never(frame)

    async def _talk(self, frame: Message | End | Feedback | LeaveQueue) -> ErrorFrame | None:
        connection = self._connection
        id_ = frame.id if isinstance(frame, Message) else ""
        if connection is None:
            return _error("bad_frame", "start or resume a conversation first", id_=id_)
        if not self._bucket.take(time.monotonic()):
            return _error("rate_limited", "too many messages, wait a moment", retryable=True, id_=id_)
        if connection.closed and not isinstance(frame, Feedback):
            return _error("bad_frame", "the conversation is closed, start a new one", id_=id_)
        match frame:
            case Message():
                await connection.say(frame.id, frame.text)
            case End():
                await connection.end()
            case Feedback():
                await connection.rate(frame.rating, frame.text)
            case LeaveQueue():
                await connection.cancel_wait()
            case _:
                assert_never(frame)
        return None

    async def _start(self, frame: Start, tasks: asyncio.TaskGroup) -> ServerFrame | None:
        if self._connection is not None:
            return _error("bad_frame", "this socket has a conversation already")
        identity = Identity(
            conversation=conversation_id(secrets.token_hex(12)),
            customer=frame.customer,
            tenant=frame.tenant,
            region=frame.region,
            channel=frame.channel,
            locale=frame.locale,
            tier=frame.tier,
        )
        try:
            identity = self._chat.authenticator.identify(identity, self._claims)
        except UnauthorizedError as error:
            return _error("unauthorized", str(error))
        token = sign(identity, self._chat.resume_secret)
        await self._write(StartedFrame(conversation=identity.conversation, resume_token=token, seq=STARTED_SEQ))
        connection = self._new_connection(identity)
        self._run(connection, self._chat.connections.add(connection), tasks)
        return None

    async def _resume(self, frame: Resume, tasks: asyncio.TaskGroup) -> ServerFrame | None:
        if self._connection is not None:
            return _error("bad_frame", "this socket has a conversation already")
        identity = verify(frame.resume_token, self._chat.resume_secret)
        if identity is None or identity.conversation != frame.conversation:
            return await self._refuse_resume(ConversationId(frame.conversation))
        try:
            identity = self._chat.authenticator.identify(identity, self._claims)
        except UnauthorizedError as error:
            return _error("unauthorized", str(error))
        await self._restore(identity, frame.last_seq, tasks)
        return None

    async def _restore(self, identity: Identity, last_seq: int, tasks: asyncio.TaskGroup) -> None:
        attached = SocketAttached(conversation=identity.conversation, ingress=self._chat.instance)
        connection = self._new_connection(identity)
        try:
            await self._chat.line.announce(identity.region, attached)
            # From here on commits wait in the connection's queue; those that the replay shows already are dropped.
            replaced = self._chat.connections.add(connection)
            async with self._chat.restores:
                missed = await connection.restore(last_seq)
        except BusError as error:
            self._chat.connections.remove(connection)
            _log.warning("connection.not_restored", conversation=identity.conversation, error=str(error))
            raise _please_resume() from error
        if missed is None:
            self._chat.connections.remove(connection)
            await self._write(ResumedFrame(conversation=identity.conversation, recovered=False))
            return
        await self._write(ResumedFrame(conversation=identity.conversation, recovered=True))
        for durable in missed:
            await self._write(durable)
        self._run(connection, replaced, tasks)

    async def _refuse_resume(self, conversation: ConversationId) -> ErrorFrame:
        """A token that is not ours: say whether the conversation exists at all."""
        region = self._claims.region if self._claims is not None else "local"
        exists = await self._chat.line.inbox(region, conversation, after=0)
        if exists:
            return _error("unauthorized", "the resume token is not valid for this conversation")
        return _error("not_found", "no such conversation")

    def _new_connection(self, identity: Identity) -> Session:
        return Session(
            identity,
            ingress=self._chat.instance,
            line=self._chat.line,
            send=self._send,
            now=time.time,
            outgoing=self._chat.outgoing_frames,
        )

    def _run(self, connection: Session, replaced: asyncio.Event, tasks: asyncio.TaskGroup) -> None:
        self._connection = connection
        self._chat.connections.welcome(connection)
        tasks.create_task(connection.run())
        tasks.create_task(_leave_when(replaced))

    async def _write(self, frame: ServerFrame) -> None:
        await self._send(codec.encode(frame))

    async def _send(self, raw: bytes) -> None:
        await self._socket.send_frame(raw, WSMsgType.TEXT)


class _SocketClosed(Exception):  # noqa: N818 - not an error: ends the socket's tasks
    pass


def _please_resume() -> CloseSocketError:
    return CloseSocketError(WSCloseCode.TRY_AGAIN_LATER, _error("unavailable", "please resume", retryable=True))


async def _leave_when(replaced: asyncio.Event) -> None:
    await replaced.wait()
    raise CloseSocketError(
        CONTINUED_ELSEWHERE, _error("unavailable", "this conversation is continued on another connection")
    )


def _explain(raw: str, reason: str) -> ErrorFrame:
    """Say what is wrong with JSON that is not a frame, naming the client's message where there is one."""
    fields: Any = msgspec.json.decode(raw)
    id_ = fields.get("id") if isinstance(fields, dict) else None
    text = fields.get("text") if isinstance(fields, dict) else None
    too_large = isinstance(text, str) and len(text) > MAX_TEXT_CHARACTERS
    return _error("too_large" if too_large else "bad_frame", reason, id_=id_ if isinstance(id_, str) else "")


def _error(code: ErrorCode, message: str, *, retryable: bool = False, id_: str = "") -> ErrorFrame:
    return ErrorFrame(code=code, message=message, retryable=retryable, id=id_ or msgspec.UNSET)
