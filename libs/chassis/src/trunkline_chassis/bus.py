"""The connection of a process to NATS: publish with acknowledgement, fenced appends, reads, requests.

A thin layer over nats-py that adds what a day in production adds: it reconnects for ever, closes in bounded time, asks
again while a stream elects a new leader, and leaves a server that takes publishes without answering them (a client
whose server is cut off from its peers never recovers alone).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
import nats
import nats.errors
import structlog
from msgspec.json import Decoder, Encoder

from trunkline_chassis.cancellation import propagate_cancellation
from trunkline_chassis.errors import BusRefusedError, BusUnavailableError, FenceError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

_log: Final = structlog.get_logger(__name__)

FENCE_CONFLICTS: Final = frozenset({10071, 10164})
"""Wrong last sequence: 10071 on one server, mostly 10164 on three."""

MESSAGE_NOT_FOUND: Final = 10037
_IN_FLIGHT: Final = frozenset({10158, 10164})
"""Same message id or same fence as an append not decided yet, perhaps our own: later it is a duplicate or 10071."""

_TRY_S: Final = 1.0
"""What is sent while a stream has no leader is lost, so it is sent again that often."""
_PATIENCE_S: Final = 10.0
"""Longer than any election."""
_PAUSE_S: Final = 0.1
_SILENCE_S: Final = 3.0
"""A connection on which nothing was answered for so long is given up for another server."""
_READ_TIMEOUT_S: Final = 3.0
_CLOSE_TIMEOUT_S: Final = 2.0
_READ_BATCH: Final = 1_000


class _ApiError(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class AppendResult(msgspec.Struct, frozen=True):
    """Where a message was stored. `duplicate`: it was there already, under the same message id."""

    seq: int
    duplicate: bool = False


class StreamMessage(msgspec.Struct, frozen=True):
    """A message as a stream holds it."""

    subject: str
    seq: int
    payload: bytes


class _PubAck(msgspec.Struct):
    seq: int = 0
    duplicate: bool = False
    error: _ApiError | None = None


class _StoredMessage(msgspec.Struct):
    subject: str
    seq: int
    data: bytes = b""


class _GetReply(msgspec.Struct):
    message: _StoredMessage | None = None
    error: _ApiError | None = None


_encode: Final = Encoder().encode
_pub_ack: Final[Decoder[_PubAck]] = Decoder(_PubAck)
_get_reply: Final[Decoder[_GetReply]] = Decoder(_GetReply)


class Bus:
    """One process' connection. Made by `connect`."""

    def __init__(self, client: Client) -> None:
        """Wrap a connected client."""
        self.client = client
        self.on_reconnect: list[Callable[[], None]] = []
        """Called after every reconnection: what was on its way is lost."""
        self._silent_since: float | None = None

    # -- core NATS ---

    async def publish(self, subject: str, payload: bytes) -> None:
        """Publish without any acknowledgement; lost when nobody listens."""
        try:
            await self.client.publish(subject, payload)
        except nats.errors.Error as error:
            raise BusUnavailableError(f"cannot publish to {subject}: {error}") from error

    async def request(self, subject: str, payload: bytes, *, timeout_s: float) -> bytes:
        """Ask whoever serves `subject`; raise `BusUnavailableError` when nobody answers in time."""
        try:
            return (await propagate_cancellation(self.client.request(subject, payload, timeout=timeout_s))).data
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailableError(f"no answer on {subject} within {timeout_s:g} s: {error}") from error

    async def subscribe(
        self, subject: str, callback: Callable[[Msg], Awaitable[None]], *, queue: str = ""
    ) -> Subscription:
        """Call back for every message. Callbacks of one subscription run one after another: hand over, never wait."""
        return await self.client.subscribe(subject, queue=queue, cb=callback, pending_msgs_limit=200_000)

    async def flush(self) -> None:
        """Wait until the server has seen everything that was sent, subscriptions too."""
        await flush(self.client)

    # -- JetStream ---

    async def append(
        self,
        subject: str,
        payload: bytes,
        *,
        message_id: str,
        fence: tuple[str, int] | None = None,
        ttl_s: float = 0.0,
        timeout_s: float = _PATIENCE_S,
    ) -> AppendResult:
        """Store a message and return where.

        `fence` = (subject filter, last sequence the writer knows under it). `ttl_s`: the stream drops the message then.
        Asks again for `timeout_s`, under the same message id. A try whose answer got lost may have stored the message:
        the next one then says `duplicate`, or, on a server without replicas, meets the fence.
        """
        headers = {"Nats-Msg-Id": message_id}
        if ttl_s:
            headers["Nats-TTL"] = f"{max(1, round(ttl_s))}s"
        if fence is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(fence[1])
            headers["Nats-Expected-Last-Subject-Sequence-Subject"] = fence[0]
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            ack = _pub_ack.decode(await self._persistently(subject, payload, headers=headers, deadline=deadline))
            if ack.error is None:
                return AppendResult(ack.seq, ack.duplicate)
            if ack.error.err_code in _IN_FLIGHT and asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(_PAUSE_S)
                continue
            if ack.error.err_code in FENCE_CONFLICTS:
                raise FenceError(ack.error.description)
            raise _refusal(ack.error)

    async def last_message(self, stream: str, subject_filter: str) -> StreamMessage | None:
        """Read the last message under a filter, from the stream's leader."""
        return await self._get(stream, {"last_by_subj": subject_filter})

    async def get_message(self, stream: str, seq: int) -> StreamMessage | None:
        """Read the message at a stream sequence."""
        return await self._get(stream, {"seq": seq})

    async def read_messages(self, stream: str, subject_filter: str, *, after: int = 0) -> list[StreamMessage]:
        """Read all messages under a filter with a sequence over `after`, in order, up to the leader's last."""
        last = await self.last_message(stream, subject_filter)
        found: list[StreamMessage] = []
        while last is not None and after < last.seq:
            batch = await self._read_batch(stream, subject_filter, after + 1)
            if not batch:
                # A replica that lags behind its leader: ask the leader, one by one.
                following = await self._get(stream, {"seq": after + 1, "next_by_subj": subject_filter})
                if following is None:
                    break
                batch = [following]
            found.extend(batch)
            after = batch[-1].seq
        return found

    async def api(self, subject: str, request: object = None, *, timeout_s: float = 5.0) -> dict[str, Any]:
        """Call the JetStream API; raise `BusRefusedError` with the server's code when it says no."""
        payload = b"" if request is None else _encode(request)
        reply: dict[str, Any] = msgspec.json.decode(
            await self.request(f"$JS.API.{subject}", payload, timeout_s=timeout_s)
        )
        if "error" in reply:
            raise _refusal(msgspec.convert(reply["error"], _ApiError))
        return reply

    async def _get(self, stream: str, query: dict[str, Any]) -> StreamMessage | None:
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        raw = await self._persistently(f"$JS.API.STREAM.MSG.GET.{stream}", _encode(query), deadline=deadline)
        reply = _get_reply.decode(raw)
        if reply.message is not None:
            return StreamMessage(reply.message.subject, reply.message.seq, reply.message.data)
        if reply.error is None or reply.error.err_code == MESSAGE_NOT_FOUND:
            return None
        raise _refusal(reply.error)

    async def _read_batch(self, stream: str, subject_filter: str, first: int) -> list[StreamMessage]:
        inbox = self.client.new_inbox()
        subscription = await self.client.subscribe(inbox)
        query = {"seq": first, "next_by_subj": subject_filter, "batch": _READ_BATCH}
        found: list[StreamMessage] = []
        try:
            await self.client.publish(f"$JS.API.DIRECT.GET.{stream}", _encode(query), reply=inbox)
            while len(found) < _READ_BATCH:
                message = await propagate_cancellation(subscription.next_msg(timeout=_READ_TIMEOUT_S))
                headers = message.headers or {}
                if "Status" in headers or "Nats-Sequence" not in headers:
                    break
                found.append(StreamMessage(headers["Nats-Subject"], int(headers["Nats-Sequence"]), message.data))
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailableError(f"cannot read {subject_filter} of {stream}: {error}") from error
        finally:
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()
        return found

    # -- patience ---

    async def _persistently(
        self, subject: str, payload: bytes, *, headers: dict[str, str] | None = None, deadline: float
    ) -> bytes:
        """Ask a stream's leader until it answers: while one is being elected nobody does, or the question is lost."""
        loop = asyncio.get_running_loop()
        while True:
            asked_at = loop.time()
            try:
                request = self.client.request(subject, payload, timeout=_TRY_S, headers=headers)
                reply = await propagate_cancellation(request)
            except nats.errors.NoRespondersError as error:
                failure: Exception = error
                self._silent_since = None
            except (nats.errors.Error, TimeoutError) as error:
                failure = error
                await self._no_answer(asked_at)
            else:
                self._silent_since = None
                return reply.data
            if loop.time() >= deadline:
                raise BusUnavailableError(f"no answer on {subject}: {failure}") from failure
            await asyncio.sleep(_PAUSE_S)

    async def _no_answer(self, asked_at: float) -> None:
        """After some seconds without any answer, look for another server."""
        now = asyncio.get_running_loop().time()
        self._silent_since = self._silent_since or asked_at
        if now - self._silent_since >= _SILENCE_S and self.client.is_connected:
            self._silent_since = now
            _log.warning("bus.unanswered", server=str(self.client.connected_url and self.client.connected_url.netloc))
            await self.client.force_reconnect()

    async def close(self) -> None:
        """Send what is buffered and close; in bounded time, because a silent server can hold a TLS close for 30 s."""
        with contextlib.suppress(nats.errors.Error, TimeoutError, OSError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self.client.flush(timeout=1)
        with contextlib.suppress(nats.errors.Error, TimeoutError, OSError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self.client.close()


async def flush(client: Client) -> None:
    """Wait until the server has seen everything that this client has sent.

    nats-py 2.16 writes its PING past what still waits to be sent, and returns with the answer to that: a subscription
    may not be known yet. The way there and back lets the rest out, so that a second PING comes after it.
    """
    await propagate_cancellation(client.flush(timeout=5))
    await propagate_cancellation(client.flush(timeout=5))


def connection_options(url: str, name: str) -> dict[str, Any]:
    """Options of every connection, our own and FastStream's: reconnect for ever, notice silence within 4 s.

    Servers are tried in the order given, the nearest first: where all processes of a machine talk to the same one,
    their messages take no way over another.
    """
    return {
        "servers": [server.strip() for server in url.split(",")],
        "dont_randomize": True,
        "name": name,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.25,
        "connect_timeout": 2,
        "ping_interval": 2,
        "max_outstanding_pings": 2,
        "pending_size": 16 * 1024 * 1024,
    }


async def connect(url: str, name: str, *, timeout_s: float = 20.0) -> Bus:
    """Connect, waiting up to `timeout_s` for the first server to appear."""

    async def on_error(error: Exception) -> None:
        _log.warning("bus.error", error=repr(error))

    async def on_disconnect() -> None:
        _log.warning("bus.disconnected")

    async def on_reconnect() -> None:
        _log.info("bus.reconnected")
        for listener in bus.on_reconnect if bus is not None else []:
            listener()

    bus: Bus | None = None

    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        try:
            client = await nats.connect(
                **connection_options(url, name),
                error_cb=on_error,
                disconnected_cb=on_disconnect,
                reconnected_cb=on_reconnect,
            )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            if asyncio.get_running_loop().time() > deadline:
                raise BusUnavailableError(f"no NATS server at {url}: {error}") from error
            await asyncio.sleep(0.2)
        else:
            bus = Bus(client)
            return bus


def _refusal(error: _ApiError) -> BusRefusedError:
    return BusRefusedError(error.err_code or error.code, error.description)
