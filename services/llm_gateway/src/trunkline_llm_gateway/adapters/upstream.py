"""HTTP client of a remote provider: warm connections, one streamed answer, four timeouts, classified faults.

connect       sock_connect of the session
first token   from the request to the first event
idle          between two events, within a tenth; comments and incomplete events do not reset it
total         the whole answer
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp

from trunkline_llm_gateway.adapters.answer_parser import AnswerParser
from trunkline_llm_gateway.adapters.answer_stream import AnswerStream
from trunkline_llm_gateway.core.answer_check import WITHDRAWN
from trunkline_llm_gateway.core.body_formats import body_format, is_blank
from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.core.server_sent_events import EventReader, EventTooLongError
from trunkline_llm_gateway.core.upstream_faults import is_filtered
from trunkline_llm_gateway.ports import ProviderError

_MAX_ANSWER_BYTES: Final = 16 << 20
"""Bounds an endless stream."""

_STATUS_OK: Final = 200
_RETRYABLE_STATUS: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_BAD_REQUEST_STATUS: Final = frozenset({400, 413, 422})
_OVERLOAD_STATUS: Final = frozenset({429, 503, 529})
_KEEPALIVE_S: Final = 60.0
_USAGE_TIMEOUT_S: Final = 1.0
"""Maximum wait for the usage that follows a complete answer."""
_EOF_TIMEOUT_S: Final = 0.05
"""If the response ends within this time after its last event, the connection is reused."""
_IDLE_TOLERANCE: Final = 0.1
"""The idle timeout is rescheduled in steps of this share of it: rescheduling per event costs more than it is worth."""


class Upstream:
    """HTTP client of one server."""

    def __init__(self, config: ProviderConfig, url: str, headers: Mapping[str, str], *, secret: str = "") -> None:
        """`url` is the completion endpoint; `secret` is removed from the server's error messages."""
        self._config = config
        self._url = url
        self._headers = {"Content-Type": "application/json", "Accept": "text/event-stream", **headers}
        self._secret = secret
        self._open_session: aiohttp.ClientSession | None = None

    async def stream(self, body: bytes, answer: AnswerStream) -> None:
        """Send a request and emit the text as it arrives, until the answer is complete; raise `ProviderError`.

        A fault after a complete answer is an oddity of its parser; the withdrawal of the answer is not.
        """
        parser = answer.parser
        try:
            await self._stream(body, answer)
        except ProviderError as error:
            if not parser.is_done or error.code in WITHDRAWN:
                raise
            parser.oddities.add(f"late_{error.code}")
        if not parser.is_done:
            raise ProviderError("cut", f"{self._config.name}: stream ended before the answer was complete")

    async def _stream(self, body: bytes, answer: AnswerStream) -> None:
        config = self._config
        try:
            async with asyncio.timeout(min(config.first_token_timeout_s, config.total_timeout_s)) as scope:
                await self._exchange(body, answer, scope)
        except aiohttp.ConnectionTimeoutError as error:
            raise ProviderError("connect", f"{config.name}: connect timeout") from error
        except TimeoutError as error:
            stage = "first token" if answer.first_token_ms == 0.0 else "answer"
            raise ProviderError("timeout", f"{config.name}: {stage} timeout") from error
        except aiohttp.ClientConnectorError as error:
            raise ProviderError("connect", f"{config.name}: {error}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ProviderError("cut", f"{config.name}: {type(error).__name__}: {error}") from error
        except EventTooLongError as error:
            raise ProviderError("malformed", f"{config.name}: {error}") from error

    async def warm(self, url: str) -> None:
        """Open a connection; ignore failures."""
        try:
            async with asyncio.timeout(self._config.connect_timeout_s), self._session().get(url):
                pass
        except (aiohttp.ClientError, OSError, TimeoutError):
            return

    async def close(self) -> None:
        """Close the connections."""
        if self._open_session is not None:
            await self._open_session.close()

    async def _exchange(self, body: bytes, answer: AnswerStream, scope: asyncio.Timeout) -> None:
        response = await self._post(body)
        try:
            if response.status != _STATUS_OK:
                raise await self._status_error(response)
            await self._read(response, answer, scope)
        finally:
            self._release(response, answer.parser)

    async def _read(self, response: aiohttp.ClientResponse, answer: AnswerStream, scope: asyncio.Timeout) -> None:
        """Read the body in the format in which it begins."""
        content_type = response.content_type if "Content-Type" in response.headers else ""
        head = b""
        while is_blank(head) and (data := await response.content.readany()):
            head += data
            _check_size(len(head))
        match body_format(content_type, head):
            case "events":
                await self._read_events(head, response.content, answer, scope)
            case "json":
                await answer.feed_whole(await self._read_whole(head, response))
            case "unknown":
                raise ProviderError("malformed", f"{self._config.name}: unexpected content type {content_type}")

    async def _read_events(
        self, head: bytes, content: aiohttp.StreamReader, answer: AnswerStream, scope: asyncio.Timeout
    ) -> None:
        """Read events until the answer is over; the rest of the response is ignored."""
        loop = asyncio.get_running_loop()
        total_at = loop.time() + self._config.total_timeout_s
        idle_s = self._config.idle_timeout_s
        parser = answer.parser
        reader = EventReader()
        received = 0
        data = head
        while data:
            payloads = reader.feed(data)
            received += len(data)
            if payloads:
                await answer.feed(payloads)
                if parser.is_over:
                    return
                _check_size(received)
                until = min(total_at, loop.time() + (_USAGE_TIMEOUT_S if parser.is_done else idle_s))
                if parser.is_done or until - (scope.when() or 0.0) > idle_s * _IDLE_TOLERANCE:
                    scope.reschedule(until)
            data = await content.readany()
        await answer.feed(reader.end())
        parser.end_of_stream()

    def _release(self, response: aiohttp.ClientResponse, parser: AnswerParser) -> None:
        """Return the connection to the pool if the response is about to end, else close it."""
        if response.connection is None:
            return
        if not parser.is_over:
            response.close()
            return
        closing = asyncio.get_running_loop().call_later(_EOF_TIMEOUT_S, response.close)
        response.content.on_eof(closing.cancel)

    async def _post(self, body: bytes) -> aiohttp.ClientResponse:
        """Send the request; if the server has closed a warm connection meanwhile, retry once."""
        session = self._session()
        try:
            return await session.post(self._url, data=body)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if isinstance(error, aiohttp.ClientConnectorError):
                raise
            return await session.post(self._url, data=body)

    async def _read_whole(self, head: bytes, response: aiohttp.ClientResponse) -> bytes:
        body = head
        while more := await response.content.readany():
            body += more
            _check_size(len(body))
        return body

    async def _status_error(self, response: aiohttp.ClientResponse) -> ProviderError:
        """Classify an error status."""
        text = (await response.content.read(2048)).decode(errors="replace").strip()
        reason = (text.replace(self._secret, "***") if self._secret else text)[:300]
        status = response.status
        code = "request" if status in _BAD_REQUEST_STATUS else "status"
        return ProviderError(
            "content_filter" if code == "request" and is_filtered(text) else code,
            f"{self._config.name}: {status} {reason}",
            retryable=status in _RETRYABLE_STATUS,
            retry_after_s=_retry_after_s(response.headers) if status in _OVERLOAD_STATUS else 0.0,
            status=status,
        )

    def _session(self) -> aiohttp.ClientSession:
        if self._open_session is None:
            # The provider client's limit bounds the calls; the connector only keeps connections warm.
            self._open_session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S, ttl_dns_cache=60),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._config.connect_timeout_s),
                auto_decompress=True,
            )
        return self._open_session


def _check_size(size: int) -> None:
    if size > _MAX_ANSWER_BYTES:
        raise EventTooLongError(f"an answer is longer than {_MAX_ANSWER_BYTES} bytes")


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Return the seconds of a Retry-After header, which contains a number or a date; 0 if it is invalid."""
    retry_after, in_ms = headers.get("Retry-After", ""), headers.get("Retry-After-Ms", "")
    for text, unit_s in ((in_ms, 0.001), (retry_after, 1.0)):
        try:
            return max(0.0, float(text) * unit_s)
        except ValueError:
            continue
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
