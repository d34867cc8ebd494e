"""The connection of a process to NATS: publish with acknowledgement, fenced appends, reads, requests.

A thin layer over nats-py for production use: unlimited reconnects, bounded close, retries while a stream elects a new
leader, and a forced reconnect if a server accepts requests without replying to them (nats-py does not leave a server
that is partitioned from its peers).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
import nats.errors
import structlog
from msgspec.json import Encoder
from trunkline_protocols.decoding import convert, decode

from trunkline_chassis.cancellation import propagate_cancellation, without_foreign_cancellation
from trunkline_chassis.denied_subjects import DeniedSubjects
from trunkline_chassis.errors import (
    BusConfigError,
    BusRefusedError,
    BusUnavailableError,
    FenceError,
    MessageTooLargeError,
)
from trunkline_chassis.jetstream_replies import ApiError, get_reply, pub_ack
from trunkline_chassis.leader_requests import ATTEMPT_TIMEOUT_S, RETRY_DELAY_S, LeaderRequests
from trunkline_chassis.nats_client import AbortingClient, connection_options
from trunkline_chassis.nats_security import NatsSecurity
from trunkline_chassis.repeated_request import first_reply
from trunkline_chassis.tracing.trace_context import TRACEPARENT
from trunkline_chassis.tracing.tracer import is_on, received_traceparent, trace_headers, traceparent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping

    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

_log: Final = structlog.get_logger(__name__)

FENCE_CONFLICTS: Final = frozenset({10071, 10164})
"""Wrong last sequence: 10071 on one server, mostly 10164 in a cluster of three."""

MESSAGE_NOT_FOUND: Final = 10037
STREAM_NOT_FOUND: Final = 10059
CONSUMER_NOT_FOUND: Final = 10014
ELECTING: Final = frozenset({10008, 10009})
"""No leader of the cluster, or not the leader."""
_IN_FLIGHT: Final = frozenset({10158, 10164})
"""Same message id or fence as an undecided append, possibly our own; a retry is then a duplicate or gets 10071."""

_ELECTION_TIMEOUT_S: Final = 10.0
"""Longer than any leader election."""
_READ_TIMEOUT_S: Final = 3.0
_CLOSE_TIMEOUT_S: Final = 2.0
_FLUSH_TIMEOUT_S: Final = 5
_READ_BATCH: Final = 1_000
_HANDSHAKE_TIMEOUT_S: Final = 2.0
_REFUSED: Final = "authorization violation"
_ANONYMOUS: Final = NatsSecurity()


class AppendResult(msgspec.Struct, frozen=True):
    """The sequence of a stored message. `duplicate`: a message with the same id had been stored before."""

    seq: int
    duplicate: bool = False


class StreamMessage(msgspec.Struct, frozen=True):
    """A message stored in a stream."""

    subject: str
    seq: int
    payload: bytes
    traceparent: str = ""
    """The header of that name, empty without one and while traces are off."""


_encode: Final = Encoder().encode


class Bus:
    """The NATS connection of a process, created by `connect`."""

    def __init__(self, client: Client) -> None:
        """Wrap a connected client."""
        self.client = client
        self.on_reconnect: list[Callable[[], None]] = []
        """Called after every reconnection: messages in transit are lost."""
        self.on_missing: list[Callable[[], None]] = []
        """Called if a stream or consumer does not exist, or no process responds in its place."""
        self.denied = DeniedSubjects()
        self._leaders = LeaderRequests(client, self.denied, self.report_missing)

    @property
    def server_info(self) -> Mapping[str, Any]:
        """The description that the connected server has sent of itself, such as its `version`."""
        return self.client._server_info  # noqa: SLF001 - nats-py has no public way to read `jetstream`

    @property
    def address(self) -> str:
        """The address of the connected server, without credentials."""
        url = self.client.connected_url
        return f"{url.scheme}://{url.hostname}:{url.port}" if url is not None else "no server"

    @property
    def server_certificate(self) -> bytes | None:
        """The certificate of the connected server as DER, None without TLS."""
        # nats-py has no public way to its socket.
        writer = getattr(self.client._transport, "_io_writer", None)  # noqa: SLF001
        connection = writer.get_extra_info("ssl_object") if writer is not None else None
        return connection.getpeercert(binary_form=True) if connection is not None else None

    def report_missing(self) -> None:
        """Call `on_missing`: a stream or consumer seems to be gone."""
        for listener in self.on_missing:
            listener()

    # -- core NATS ---

    async def publish(self, subject: str, payload: bytes) -> None:
        """Publish without acknowledgement; the message is lost if it has no subscriber."""
        try:
            await self.client.publish(subject, payload)
        except nats.errors.MaxPayloadError as error:
            raise self._too_large(subject, payload) from error
        except nats.errors.Error as error:
            raise BusUnavailableError(f"cannot publish to {subject}: {error}") from error

    async def request(self, subject: str, payload: bytes, *, timeout_s: float) -> bytes:
        """Send a request and return the reply; raise `BusUnavailableError` if none arrives within `timeout_s`."""
        return await self._request(
            subject, payload, timeout_s=timeout_s, repeat_after_s=timeout_s, headers=trace_headers()
        )

    async def _request(
        self,
        subject: str,
        payload: bytes,
        *,
        timeout_s: float,
        repeat_after_s: float,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        def send(wait_s: float) -> Coroutine[Any, Any, Msg]:
            return propagate_cancellation(self.client.request(subject, payload, timeout=wait_s, headers=headers))

        try:
            return (await first_reply(send, every_s=repeat_after_s, timeout_s=timeout_s)).data
        except nats.errors.MaxPayloadError as error:
            raise self._too_large(subject, payload) from error
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailableError(f"no reply on {subject} within {timeout_s:g} s: {error}") from error

    async def subscribe(
        self, subject: str, callback: Callable[[Msg], Awaitable[None]], *, queue: str = ""
    ) -> Subscription:
        """Call back for every message. Callbacks of one subscription run sequentially, so they must not block."""
        return await self.client.subscribe(subject, queue=queue, cb=callback, pending_msgs_limit=200_000)

    async def flush(self) -> None:
        """Wait until the server has processed everything that this process has sent, subscriptions included.

        nats-py 2.16 writes its PING ahead of the pending buffer, so a first flush can return before a subscription is
        known to the server. The round trip drains the buffer; the second PING comes after it.
        """
        await propagate_cancellation(self.client.flush(timeout=_FLUSH_TIMEOUT_S))
        await propagate_cancellation(self.client.flush(timeout=_FLUSH_TIMEOUT_S))

    async def drain(self, subscription: Subscription) -> None:
        """End a subscription without losing a message: wait for the callbacks of everything delivered to it.

        `Subscription.drain` of nats-py 2.16 alone flushes once, with the PING ahead of its UNSUB: messages that the
        server delivers in between are discarded.
        """
        await self.client._send_unsubscribe(subscription._id)  # noqa: SLF001 - nats-py has no public call for it
        await self.flush()
        await subscription.drain()  # type: ignore[no-untyped-call]

    # -- JetStream ---

    async def append(
        self,
        subject: str,
        payload: bytes,
        *,
        message_id: str,
        fence: tuple[str, int] | None = None,
        ttl_s: float = 0.0,
        timeout_s: float = _ELECTION_TIMEOUT_S,
    ) -> AppendResult:
        """Store a message and return its sequence; retry for `timeout_s` under the same message id.

        The header `traceparent` is stored with it if the turn is traced.

        `fence`: subject filter, and the last sequence that the writer knows under it; raises `FenceError` if there is a
        later one. `ttl_s`: time after which the stream drops the message. If the acknowledgement of an attempt is lost,
        the next attempt returns `duplicate` or, on a server without replicas, raises `FenceError`.
        """
        headers = {"Nats-Msg-Id": message_id}
        if ttl_s:
            headers["Nats-TTL"] = f"{max(1, round(ttl_s))}s"
        if fence is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(fence[1])
            headers["Nats-Expected-Last-Subject-Sequence-Subject"] = fence[0]
        if trace := traceparent():
            headers[TRACEPARENT] = trace
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            ack = pub_ack.decode(await self._ask_leader(subject, payload, headers=headers, deadline=deadline))
            if ack.error is None:
                return AppendResult(ack.seq, ack.duplicate)
            if ack.error.err_code in _IN_FLIGHT and asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(RETRY_DELAY_S)
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
        return [message async for batch in self.read_batches(stream, subject_filter, after) for message in batch]

    async def read_batches(self, stream: str, filter_: str, after: int = 0) -> AsyncIterator[list[StreamMessage]]:
        """Read like `read_messages`, but yield one batch at a time, for streams larger than the memory."""
        last = await self.last_message(stream, filter_)
        while last is not None and after < last.seq:
            batch = await self._read_batch(stream, filter_, after + 1)
            # If the replica lags behind its leader or does not answer, read from the leader, one message at a time.
            if not batch:
                next_ = await self._get(stream, {"seq": after + 1, "next_by_subj": filter_})
                batch = [next_] if next_ is not None else []
            yield batch
            after = batch[-1].seq if batch else last.seq

    async def api(
        self, subject: str, request: object = None, *, timeout_s: float = 5.0, is_repeatable: bool = False
    ) -> dict[str, Any]:
        """Call the JetStream API; raise `BusRefusedError` with the server's code if the call is refused.

        `is_repeatable`: a second execution does no harm, so the call is sent again every second. While the cluster
        elects its leader, calls are lost.
        """
        payload = b"" if request is None else _encode(request)
        repeat_after_s = ATTEMPT_TIMEOUT_S if is_repeatable else timeout_s
        raw = await self._request(f"$JS.API.{subject}", payload, timeout_s=timeout_s, repeat_after_s=repeat_after_s)
        reply: dict[str, Any] = decode(raw, dict)
        if "error" in reply:
            raise self._refused(convert(reply["error"], ApiError))
        return reply

    def _refused(self, error: ApiError) -> BusRefusedError:
        refusal = _refusal(error)
        if refusal.code in {STREAM_NOT_FOUND, CONSUMER_NOT_FOUND}:
            self.report_missing()
        return refusal

    async def _get(self, stream: str, query: dict[str, Any]) -> StreamMessage | None:
        subject = f"$JS.API.STREAM.MSG.GET.{stream}"
        deadline = asyncio.get_running_loop().time() + _ELECTION_TIMEOUT_S
        while True:
            reply = get_reply.decode(await self._ask_leader(subject, _encode(query), deadline=deadline))
            is_electing = reply.error is not None and reply.error.err_code in ELECTING
            if not is_electing or asyncio.get_running_loop().time() >= deadline:
                break
            await asyncio.sleep(RETRY_DELAY_S)
        if reply.message is not None:
            stored = reply.message
            trace = received_traceparent(stored.headers) if is_on() else ""
            return StreamMessage(stored.subject, stored.seq, stored.data, trace)
        if reply.error is None or reply.error.err_code == MESSAGE_NOT_FOUND:
            return None
        raise self._refused(reply.error)

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
                place = headers["Nats-Subject"], int(headers["Nats-Sequence"])
                found.append(StreamMessage(*place, message.data, received_traceparent(headers)))
        except (nats.errors.Error, TimeoutError):
            pass  # no replica answers: what is missing is read from the leader
        finally:
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()
        return found

    async def _ask_leader(
        self, subject: str, payload: bytes, *, headers: dict[str, str] | None = None, deadline: float
    ) -> bytes:
        try:
            return await self._leaders.ask(subject, payload, headers=headers, deadline=deadline)
        except nats.errors.MaxPayloadError as error:
            raise self._too_large(subject, payload) from error

    def _too_large(self, subject: str, payload: bytes) -> MessageTooLargeError:
        return MessageTooLargeError(subject, len(payload), self.client.max_payload)

    async def close(self) -> None:
        """Flush and close within a few seconds: an unresponsive server can delay a TLS close by 30 s."""
        with contextlib.suppress(nats.errors.Error, TimeoutError, OSError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self.client.flush(timeout=1)
        with contextlib.suppress(nats.errors.Error, TimeoutError, OSError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                # If the server closes at the same moment, the client waits for a future that it has cancelled itself.
                await without_foreign_cancellation(self.client.close())


async def connect(
    url: str, name: str, *, principal: str = "", security: NatsSecurity = _ANONYMOUS, timeout_s: float = 20.0
) -> Bus:
    """Connect to NATS; retry for `timeout_s` seconds if no server is up yet.

    Replies arrive below the inbox prefix of `principal`, by default that of the connection's name. Raises
    `BusConfigError` at once if the credentials are refused.
    """
    options = connection_options(url, name, principal or name, security)
    servers = ", ".join(options["servers"])
    bus: Bus | None = None
    failure: Exception | None = None
    deadline = asyncio.get_running_loop().time() + timeout_s

    async def on_error(error: Exception) -> None:
        nonlocal failure
        if bus is not None:
            bus.denied.report(error)
            return
        failure = error
        # The client retries its first connection without a limit: only an exception from here ends it.
        if _REFUSED in str(error).lower():
            raise BusConfigError(f"NATS at {servers} refused the credentials of {principal or name}") from error
        if asyncio.get_running_loop().time() > deadline:
            raise BusUnavailableError(f"no NATS server at {servers}: {error}") from error

    async def on_disconnect() -> None:
        _log.warning("bus.disconnected")

    async def on_reconnect() -> None:
        _log.info("bus.reconnected")
        for listener in bus.on_reconnect if bus is not None else []:
            listener()

    try:
        # The margin is for a TLS handshake that hangs: it reports no error.
        async with asyncio.timeout(timeout_s + _HANDSHAKE_TIMEOUT_S):
            client = AbortingClient()
            await client.connect(
                **options, error_cb=on_error, disconnected_cb=on_disconnect, reconnected_cb=on_reconnect
            )
    except TimeoutError:
        raise BusUnavailableError(f"no NATS server at {servers}: {failure or 'no answer'}") from failure
    bus = Bus(client)
    return bus


def _refusal(error: ApiError) -> BusRefusedError:
    return BusRefusedError(error.err_code or error.code, error.description)
