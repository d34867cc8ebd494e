"""The HTTP side of a remote provider: warm connections, one streamed answer, four time limits, faults by their names.

connect       sock_connect of the session
first token   from the request to the first event
idle          between two events, give or take a tenth; comments and half events are no sign of life
total         the whole answer
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

import aiohttp

from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.core.events import EventReader, EventTooLongError
from trunkline_llm_gateway.ports import Emit, ProviderError

_MOST_BYTES: Final = 16 << 20
"""Of one answer: an endless stream ends here at the latest."""

_RETRYABLE: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_REQUEST_IS_WRONG: Final = frozenset({400, 413, 422})
_TOO_MUCH: Final = frozenset({429, 503, 529})
_WARM_S: Final = 60.0
_USAGE_S: Final = 1.0
"""Longest wait for the count of tokens behind a whole answer."""
_LAST_BYTES_S: Final = 0.05
"""So long a connection may take to its response's end behind the last event, to be used again."""
_PRECISION: Final = 0.1
"""The idle limit is moved in steps of this part of it: moving it with every event costs more than it is worth."""


class Parser(Protocol):
    """Understands the payloads of one kind of provider."""

    @property
    def is_done(self) -> bool:
        """Whether the answer is whole: the provider has said why it stopped."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes, no count of tokens either."""
        ...

    def take(self, payload: bytes) -> str:
        """Take one payload and return the text in it; raises `ProviderError` for what is none."""
        ...

    def take_whole(self, body: bytes) -> str:
        """Take an answer that was not streamed and return its text."""
        ...


class Timing:
    """When an answer began and how long it took, in milliseconds."""

    def __init__(self) -> None:
        """Start the clock."""
        self._started = time.perf_counter()
        self.first_token_ms = 0.0

    def first_token(self) -> None:
        """Take the time of the first text."""
        self.first_token_ms = self.elapsed_ms()

    def elapsed_ms(self) -> float:
        """Milliseconds since the start."""
        return (time.perf_counter() - self._started) * 1000


class Upstream:
    """One server."""

    def __init__(self, config: ProviderConfig, url: str, headers: Mapping[str, str], *, secret: str = "") -> None:
        """`url` is where answers are asked for; `secret` is cut out of everything that the server says."""
        self._config = config
        self._url = url
        self._headers = {"Content-Type": "application/json", "Accept": "text/event-stream", **headers}
        self._secret = secret
        self._session: aiohttp.ClientSession | None = None

    async def stream(self, body: bytes, parser: Parser, emit: Emit) -> Timing:
        """Ask, and emit the text as it comes, until the answer is whole."""
        config = self._config
        timing = Timing()
        try:
            async with asyncio.timeout(min(config.first_token_timeout_s, config.total_timeout_s)) as limit:
                await self._read(body, parser, emit, timing, limit)
        except aiohttp.ConnectionTimeoutError as error:
            raise ProviderError("connect", f"{config.name}: no connection in time") from error
        except TimeoutError as error:
            if not parser.is_done:
                stage = "no first token" if timing.first_token_ms == 0.0 else "no end of the answer"
                raise ProviderError("timeout", f"{config.name}: {stage} in time") from error
        except aiohttp.ClientConnectorError as error:
            raise ProviderError("connect", f"{config.name}: {error}") from error
        except (aiohttp.ClientError, OSError) as error:
            if not parser.is_done:
                raise ProviderError("cut", f"{config.name}: {type(error).__name__}: {error}") from error
        except EventTooLongError as error:
            raise ProviderError("malformed", f"{config.name}: {error}") from error
        if not parser.is_done:
            raise ProviderError("cut", f"{config.name}: the stream ended before the answer did")
        return timing

    async def warm(self, url: str) -> None:
        """Open a connection."""
        try:
            async with asyncio.timeout(self._config.connect_timeout_s), self._open().get(url):
                pass
        except (aiohttp.ClientError, OSError, TimeoutError):
            return

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _read(self, body: bytes, parser: Parser, emit: Emit, timing: Timing, limit: asyncio.Timeout) -> None:
        response = await self._post(body)
        try:
            if response.status != 200:  # noqa: PLR2004
                raise await self._refusal(response)
            if response.content_type == "application/json":
                await _say(parser.take_whole(await self._whole(response)), emit, timing)
                return
            if response.content_type != "text/event-stream":
                raise ProviderError("malformed", f"{self._config.name}: answers with {response.content_type}")
            await self._events(response.content, parser, emit, timing, limit)
        finally:
            self._leave(response, parser)

    async def _events(
        self, content: aiohttp.StreamReader, parser: Parser, emit: Emit, timing: Timing, limit: asyncio.Timeout
    ) -> None:
        """Take events until the answer is over; what the server says after that is nobody's concern."""
        loop = asyncio.get_running_loop()
        total_at = loop.time() + self._config.total_timeout_s
        idle_s = self._config.idle_timeout_s
        reader = EventReader()
        received = 0
        async for data in content.iter_any():
            payloads = reader.feed(data)
            if not payloads:
                continue
            await _take(payloads, parser, emit, timing)
            if parser.is_over:
                return
            received += len(data)
            if received > _MOST_BYTES:
                raise EventTooLongError(f"an answer is longer than {_MOST_BYTES} bytes")
            until = min(total_at, loop.time() + (_USAGE_S if parser.is_done else idle_s))
            if parser.is_done or until - (limit.when() or 0.0) > idle_s * _PRECISION:
                limit.reschedule(until)
        await _take(reader.end(), parser, emit, timing)

    def _leave(self, response: aiohttp.ClientResponse, parser: Parser) -> None:
        """Give the connection free: at the response's end when that is about to come, else by closing it."""
        if response.connection is None:
            return
        if not parser.is_over:
            response.close()
            return
        closing = asyncio.get_running_loop().call_later(_LAST_BYTES_S, response.close)
        response.content.on_eof(closing.cancel)

    async def _post(self, body: bytes) -> aiohttp.ClientResponse:
        """Send; a warm connection that the server has closed meanwhile is replaced, once."""
        session = self._open()
        try:
            return await session.post(self._url, data=body)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if isinstance(error, aiohttp.ClientConnectorError):
                raise
            return await session.post(self._url, data=body)

    async def _whole(self, response: aiohttp.ClientResponse) -> bytes:
        body = await response.content.read(_MOST_BYTES + 1)
        while len(body) <= _MOST_BYTES and (more := await response.content.read(_MOST_BYTES)):
            body += more
        if len(body) > _MOST_BYTES:
            raise EventTooLongError(f"an answer is longer than {_MOST_BYTES} bytes")
        return body

    async def _refusal(self, response: aiohttp.ClientResponse) -> ProviderError:
        """Name what the server said no to."""
        said = (await response.content.read(2048)).decode(errors="replace").strip()[:300]
        reason = said.replace(self._secret, "***") if self._secret else said
        status = response.status
        return ProviderError(
            "request" if status in _REQUEST_IS_WRONG else "status",
            f"{self._config.name}: {status} {reason}",
            retryable=status in _RETRYABLE,
            retry_after_s=_retry_after_s(response.headers.get("Retry-After", "")) if status in _TOO_MUCH else 0.0,
        )

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # The pool's limit bounds the calls; the connector only keeps connections warm.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_WARM_S, ttl_dns_cache=60),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._config.connect_timeout_s),
                auto_decompress=True,
            )
        return self._session


async def _take(payloads: list[bytes], parser: Parser, emit: Emit, timing: Timing) -> None:
    """Emit the text of payloads that came together as one piece; what came before a fault is said as well."""
    texts: list[str] = []
    try:
        for payload in payloads:
            texts.append(parser.take(payload))  # noqa: PERF401 - what was taken before a fault is kept
    finally:
        await _say("".join(texts), emit, timing)


async def _say(text: str, emit: Emit, timing: Timing) -> None:
    if not text:
        return
    if timing.first_token_ms == 0.0:
        timing.first_token()
    await emit(text)


def _retry_after_s(retry_after: str) -> float:
    """Seconds of a Retry-After header, which gives them or a date."""
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return 0.0
