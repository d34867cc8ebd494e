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
from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.core.server_sent_events import EventReader, EventTooLongError
from trunkline_llm_gateway.ports import Emit, ProviderError

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


class AnswerStream:
    """One streamed answer: parses payloads, emits their text, and measures its times in milliseconds."""

    def __init__(self, parser: AnswerParser, emit: Emit) -> None:
        """Start the clock."""
        self.parser = parser
        self.first_token_ms = 0.0
        self._emit = emit
        self._started = time.perf_counter()

    def elapsed_ms(self) -> float:
        """Return the milliseconds since the start."""
        return (time.perf_counter() - self._started) * 1000

    async def feed(self, payloads: list[bytes]) -> None:
        """Emit the text of payloads that arrived together as one piece, also the text that precedes a fault."""
        texts: list[str] = []
        try:
            for payload in payloads:
                texts.append(self.parser.feed(payload))  # noqa: PERF401 - texts before a fault are kept
        finally:
            await self._emit_text("".join(texts))

    async def feed_whole(self, body: bytes) -> None:
        """Emit the text of an answer that is not streamed."""
        await self._emit_text(self.parser.feed_whole(body))

    async def _emit_text(self, text: str) -> None:
        if not text:
            return
        if self.first_token_ms == 0.0:
            self.first_token_ms = self.elapsed_ms()
        await self._emit(text)


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
        """Send a request and emit the text as it arrives, until the answer is complete; raise `ProviderError`."""
        config, parser = self._config, answer.parser
        try:
            async with asyncio.timeout(min(config.first_token_timeout_s, config.total_timeout_s)) as scope:
                await self._exchange(body, answer, scope)
        except aiohttp.ConnectionTimeoutError as error:
            raise ProviderError("connect", f"{config.name}: connect timeout") from error
        except TimeoutError as error:
            if not parser.is_done:
                stage = "first token" if answer.first_token_ms == 0.0 else "answer"
                raise ProviderError("timeout", f"{config.name}: {stage} timeout") from error
        except aiohttp.ClientConnectorError as error:
            raise ProviderError("connect", f"{config.name}: {error}") from error
        except (aiohttp.ClientError, OSError) as error:
            if not parser.is_done:
                raise ProviderError("cut", f"{config.name}: {type(error).__name__}: {error}") from error
        except EventTooLongError as error:
            raise ProviderError("malformed", f"{config.name}: {error}") from error
        if not parser.is_done:
            raise ProviderError("cut", f"{config.name}: stream ended before the answer was complete")

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
            if response.content_type == "application/json":
                await answer.feed_whole(await self._read_whole(response))
                return
            if response.content_type != "text/event-stream":
                raise ProviderError(
                    "malformed", f"{self._config.name}: unexpected content type {response.content_type}"
                )
            await self._read_events(response.content, answer, scope)
        finally:
            self._release(response, answer.parser)

    async def _read_events(self, content: aiohttp.StreamReader, answer: AnswerStream, scope: asyncio.Timeout) -> None:
        """Read events until the answer is over; the rest of the response is ignored."""
        loop = asyncio.get_running_loop()
        total_at = loop.time() + self._config.total_timeout_s
        idle_s = self._config.idle_timeout_s
        parser = answer.parser
        reader = EventReader()
        received = 0
        async for data in content.iter_any():
            payloads = reader.feed(data)
            if not payloads:
                continue
            await answer.feed(payloads)
            if parser.is_over:
                return
            received += len(data)
            if received > _MAX_ANSWER_BYTES:
                raise EventTooLongError(f"an answer is longer than {_MAX_ANSWER_BYTES} bytes")
            until = min(total_at, loop.time() + (_USAGE_TIMEOUT_S if parser.is_done else idle_s))
            if parser.is_done or until - (scope.when() or 0.0) > idle_s * _IDLE_TOLERANCE:
                scope.reschedule(until)
        await answer.feed(reader.end())

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

    async def _read_whole(self, response: aiohttp.ClientResponse) -> bytes:
        body = await response.content.read(_MAX_ANSWER_BYTES + 1)
        while len(body) <= _MAX_ANSWER_BYTES and (more := await response.content.read(_MAX_ANSWER_BYTES)):
            body += more
        if len(body) > _MAX_ANSWER_BYTES:
            raise EventTooLongError(f"an answer is longer than {_MAX_ANSWER_BYTES} bytes")
        return body

    async def _status_error(self, response: aiohttp.ClientResponse) -> ProviderError:
        """Classify an error status."""
        text = (await response.content.read(2048)).decode(errors="replace").strip()[:300]
        reason = text.replace(self._secret, "***") if self._secret else text
        status = response.status
        return ProviderError(
            "request" if status in _BAD_REQUEST_STATUS else "status",
            f"{self._config.name}: {status} {reason}",
            retryable=status in _RETRYABLE_STATUS,
            retry_after_s=_retry_after_s(response.headers.get("Retry-After", ""))
            if status in _OVERLOAD_STATUS
            else 0.0,
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


def _retry_after_s(retry_after: str) -> float:
    """Return the seconds of a Retry-After header, which contains a number or a date; 0 if it is invalid."""
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return 0.0
