"""WebSocket endpoint `GET /v1/chat`.

    start           -> `SessionOpener.start`
    resume          -> `SessionOpener.resume`
    message         -> `Session.accept_message`
    request_person  -> `Session.request_person`
    end             -> `Session.request_end`
    feedback        -> `Session.store_feedback`
    cancel          -> `Session.leave_queue`

An invalid frame gets `error` and the socket stays open. Close codes: 1007 for invalid JSON, 1003 for a binary frame,
1009 for a frame over `MAX_FRAME_BYTES`, 1008 if the access token has expired or too many frames were refused, 1013 if
the client must resume, 4001 if another socket took the conversation over, 4002 if none was started or resumed in time.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, assert_never
from weakref import WeakSet

import structlog
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from trunkline_chassis.errors import BusError, MessageTooLargeError
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec
from trunkline_protocols.frames import (
    MAX_FRAME_BYTES,
    SUBPROTOCOL,
    ClientFrame,
    End,
    Feedback,
    LeaveQueue,
    Message,
    RequestPerson,
    Resume,
    ResumedFrame,
    ServerFrame,
    Start,
    StartedFrame,
)

from trunkline_ingress.application.admission import OverloadedError
from trunkline_ingress.application.customer_claims import CustomerClaims
from trunkline_ingress.application.session import ErasedConversationError, Session, SlowReaderError, StaleSessionError
from trunkline_ingress.application.session_opener import (
    OpenedSession,
    OtherSiteError,
    SessionOpener,
    UnknownConversationError,
    UnknownRegionError,
)
from trunkline_ingress.core.budget import Payer
from trunkline_ingress.core.identity import Claims, UnauthorizedError
from trunkline_ingress.core.ledger import STARTED_SEQ
from trunkline_ingress.core.refusals import RecentRefusals
from trunkline_ingress.handlers.access import CUSTOMER, Route
from trunkline_ingress.handlers.auth import Authenticator
from trunkline_ingress.handlers.edge import EdgeGuard
from trunkline_ingress.handlers.frame_errors import (
    IDLE,
    CloseSocketError,
    FrameError,
    access_expired,
    at_other_site,
    overloaded,
    rate_limited,
    resume_required,
    taken_over,
    too_many_refused,
)
from trunkline_ingress.handlers.frame_parser import parse_frame
from trunkline_ingress.handlers.incoming_frames import IncomingFrames

_log: Final = structlog.get_logger(__name__)

_PING_INTERVAL_S: Final = 20.0
_CLOSE_TIMEOUT_S: Final = 2.0
_MAX_CLOSE_REASON_BYTES: Final = 120
_MAX_SLEEP_S: Final = 60.0
"""The wall clock may be changed while a socket waits for a time."""


@dataclass(frozen=True, slots=True)
class ChatEndpoint:
    """Serves the WebSockets of customers."""

    opener: SessionOpener
    authenticator: Authenticator
    guard: EdgeGuard
    first_frame_timeout_s: float
    customer_claims: CustomerClaims | None = None
    """Keeps claims for the agents; None if there are no agents."""
    sockets: WeakSet[web.WebSocketResponse] = field(default_factory=WeakSet)

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route("GET", "/v1/chat", self.serve, CUSTOMER)]

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one socket until it closes."""
        claims = await self.authenticator.handshake_claims(request)
        address = self.guard.address_of(request)
        with self.guard.counted_socket(address):
            return await self._serve(request, claims, address)

    async def _serve(self, request: web.Request, claims: Claims | None, address: str) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,),
            max_msg_size=MAX_FRAME_BYTES,
            heartbeat=_PING_INTERVAL_S,
            compress=False,
            timeout=_CLOSE_TIMEOUT_S,
        )
        await socket.prepare(request)
        self.sockets.add(socket)
        if request.transport is not None:  # the client has not gone meanwhile
            await _Socket(self, socket, request.transport, claims, address).run()
        return socket

    async def close_all(self) -> None:
        """Close every socket; the clients resume at another ingress, or here after the restart."""
        await asyncio.gather(*(socket.close(code=WSCloseCode.GOING_AWAY) for socket in list(self.sockets)))


class _Socket:
    """One WebSocket: parses frames, dispatches them to the session, maps errors to frames and close codes."""

    def __init__(
        self,
        endpoint: ChatEndpoint,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        claims: Claims | None,
        address: str,
    ) -> None:
        self._endpoint = endpoint
        self._transport = transport
        self._socket = socket
        self._frames = IncomingFrames(socket)
        self._claims = claims
        """Claims of the handshake; once the conversation is open, the claims that it was opened with."""
        self._opener = endpoint.opener
        self._address = address
        self._refusals = RecentRefusals(time.monotonic())
        self._session: Session | None = None

    async def run(self) -> None:
        """Serve the socket to its end and close it."""
        try:
            close = await self._serve()
            # Not in an exception handler, where a cancellation would become part of a group.
            if close is not None:
                await close()
        finally:
            if self._session is not None:
                self._opener.sessions.remove(self._session)
            if not self._socket.closed:
                await self._socket.close()

    async def _serve(self) -> Callable[[], Awaitable[object]] | None:
        """Receive frames while the session sends; return how to close the socket, None if the client has closed it."""
        close: Callable[[], Awaitable[object]] | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive_frames(tasks))
                tasks.create_task(self._limit_idle_time())
        except* (_SocketClosed, ConnectionResetError, BrokenPipeError):
            pass
        except* CloseSocketError as group:
            close = partial(self._close, group.exceptions[0])
        except* SlowReaderError:
            close = partial(
                self._socket.close, code=WSCloseCode.TRY_AGAIN_LATER, message=b"slow reader, resume the conversation"
            )
        except* BusError:
            close = partial(self._close, resume_required())
        except* codec.DecodeError as group:
            # Frames are decoded in `parse_frame`: this is a value of the log.
            report_undecodable("log", self._conversation, group.exceptions[0])
            unreadable = CloseSocketError(WSCloseCode.INTERNAL_ERROR, "internal", "a stored value cannot be read")
            close = partial(self._close, unreadable)
        return close

    async def _receive_frames(self, tasks: asyncio.TaskGroup) -> None:
        while (message := await self._frames.next()) is not None:
            try:
                with self._frames.handling(tasks):
                    await self._handle(message, tasks)
            except FrameError as error:
                await self._write(error.frame)
                if error.is_clients_fault:
                    await self._slow_down(error)
            except StaleSessionError as error:
                _log.info("session.stale", conversation=error.conversation, reason=str(error))
                raise resume_required() from error
            except MessageTooLargeError as error:
                _log.error("session.message_refused", conversation=self._conversation, error=str(error))
                await self._write(FrameError("too_large", "the message is too large for this suite").frame)
            except BusError as error:
                _log.warning("session.request_failed", conversation=self._conversation, error=str(error))
                await self._write(FrameError("unavailable", "service unavailable, try again", retryable=True).frame)
        raise _SocketClosed

    async def _handle(self, message: WSMessage, tasks: asyncio.TaskGroup) -> None:
        wait_s = self._endpoint.guard.charge(self._address, self._payers())
        try:
            frame = parse_frame(message)
        except FrameError as error:
            if wait_s > 0:
                raise rate_limited(wait_s) from error
            raise
        if wait_s > 0:
            raise rate_limited(wait_s, id_=_id_of(frame))
        match frame:
            case Start() | Resume():
                await self._open(frame, tasks)
            case Message() | RequestPerson() | End() | Feedback() | LeaveQueue():
                await self._dispatch(frame, self._permitted_session(frame))
            case _:
                assert_never(frame)

    # -- opening ---

    async def _open(self, frame: Start | Resume, tasks: asyncio.TaskGroup) -> None:
        if self._session is not None:
            raise FrameError("bad_frame", "the socket already has a conversation")
        await self._authenticate(frame.token)
        try:
            opened = await (self._start(frame) if isinstance(frame, Start) else self._resume(frame))
        except UnauthorizedError as error:
            raise FrameError("unauthorized", str(error)) from error
        except OtherSiteError as error:
            _log.info("session.other_site", region=error.site.region, reachable=error.site.is_reachable)
            raise at_other_site(error.site) from error
        except UnknownRegionError as error:
            raise FrameError("bad_frame", str(error)) from error
        except UnknownConversationError as error:
            raise FrameError("not_found", "conversation not found") from error
        except ErasedConversationError as error:
            raise FrameError("not_found", "the data of this conversation was erased, start a new one") from error
        if opened is not None:
            self._opener.sessions.send_initial_frames(opened.session)
            tasks.create_task(opened.session.run())
            tasks.create_task(_wait_until_replaced(opened.replaced))
            if self._claims is not None:
                tasks.create_task(_wait_until_expired(self._claims.exp))

    async def _authenticate(self, token: str) -> None:
        """Verify the token of a frame and keep its claims; raises `FrameError`."""
        try:
            self._claims = await self._endpoint.authenticator.frame_claims(token, self._claims)
        except UnauthorizedError as error:
            # Retryable with another token, unlike a conversation that belongs to another customer.
            raise FrameError("unauthorized", str(error), retryable=True) from error
        if self._endpoint.customer_claims is not None and self._opener.is_home_of(self._claims):
            await self._endpoint.customer_claims.keep(self._claims)

    async def _start(self, frame: Start) -> OpenedSession:
        opened = self._opener.start(frame, self._claims, self._send)
        self._session = opened.session
        await self._write(
            StartedFrame(conversation=self._conversation, resume_token=opened.resume_token, seq=STARTED_SEQ)
        )
        return opened

    async def _resume(self, frame: Resume) -> OpenedSession | None:
        opened = await self._opener.resume(frame, self._claims, self._send)
        if opened is not None:
            self._session = opened.session
        await self._write(ResumedFrame(conversation=frame.conversation, recovered=opened is not None))
        for missed in opened.missed if opened is not None else []:
            await self._write(missed)
        return opened

    # -- an open session ---

    def _permitted_session(self, frame: ClientFrame) -> Session:
        """Return the session if it may handle the frame now, else raise `FrameError`."""
        id_ = _id_of(frame)
        if self._session is None:
            raise FrameError("bad_frame", "send start or resume first", id_=id_)
        if self._session.closed and not isinstance(frame, Feedback):
            raise FrameError("bad_frame", "the conversation is closed, start a new one", id_=id_)
        return self._session

    async def _dispatch(self, frame: Message | RequestPerson | End | Feedback | LeaveQueue, session: Session) -> None:
        match frame:
            case Message():
                try:
                    await session.accept_message(frame.id, frame.text)
                except OverloadedError as error:
                    raise overloaded(error.retry_after_s, id_=frame.id) from error
            case RequestPerson():
                await session.request_person(frame.id, frame.text)
            case End():
                await session.request_end()
            case Feedback():
                await session.store_feedback(frame.rating, frame.text)
            case LeaveQueue():
                await session.leave_queue()
            case _:
                assert_never(frame)

    # -- limits ---

    def _payers(self) -> Mapping[Payer, Hashable]:
        """Return who pays for a frame: a verified customer for all of its sockets, else the socket.

        A name that nothing proves pays for nothing: anyone could exhaust the budget of another customer.
        """
        if self._claims is None:
            return {"customer": id(self)}
        return {"customer": (self._claims.tenant, self._claims.sub), "tenant": self._claims.tenant}

    async def _slow_down(self, error: FrameError) -> None:
        """Pause after a refused frame if there were several, so that a flood costs little; at last end the socket."""
        delay_s = self._refusals.record(time.monotonic())
        if delay_s is None:
            raise too_many_refused() from error
        if delay_s > 0:
            # Without reading: the client's next frames stay in its own buffers, and cost nothing here.
            self._transport.pause_reading()
            try:
                await asyncio.sleep(delay_s)
            finally:
                if not self._transport.is_closing():
                    self._transport.resume_reading()

    async def _limit_idle_time(self) -> None:
        """Close the socket if no conversation is opened in time; the client may open another one when it needs it."""
        await asyncio.sleep(self._endpoint.first_frame_timeout_s)
        if self._session is None:
            await self._socket.close(code=IDLE, message=b"no conversation was opened in time")

    # -- the socket ---

    @property
    def _conversation(self) -> str:
        return self._session.conversation if self._session is not None else ""

    async def _close(self, error: BaseException) -> None:
        if isinstance(error, CloseSocketError) and not self._socket.closed:
            reason = error.frame.message.encode()[:_MAX_CLOSE_REASON_BYTES]
            with contextlib.suppress(ConnectionResetError):  # the client has gone
                await self._write(error.frame)
                await self._socket.close(code=error.close_code, message=reason)

    async def _write(self, frame: ServerFrame) -> None:
        await self._send(codec.encode(frame))

    async def _send(self, raw: bytes) -> None:
        await self._socket.send_frame(raw, WSMsgType.TEXT)


class _SocketClosed(Exception):  # noqa: N818 - not an error: ends the socket's tasks
    pass


async def _wait_until_expired(expires_at: float) -> None:
    while (left_s := expires_at - time.time()) > 0:  # noqa: ASYNC110 - the wall clock has no event
        await asyncio.sleep(min(left_s, _MAX_SLEEP_S))
    raise access_expired()


def _id_of(frame: ClientFrame) -> str:
    """Return the client's idempotency key of a frame, empty if it has none."""
    return frame.id if isinstance(frame, Message | RequestPerson) else ""


async def _wait_until_replaced(replaced: asyncio.Event) -> None:
    await replaced.wait()
    raise taken_over()
