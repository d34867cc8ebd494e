"""OpenAI-compatible chat completions over aiohttp: vLLM, llama.cpp, Ollama, LiteLLM and others speak it.

A stream that ends without a finish reason is an error: a cut answer is never passed off as a whole one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
import msgspec
from trunkline_protocols.completion import Complete
from trunkline_protocols.turn import Usage

from trunkline_llm_gateway.config import ProviderConfig
from trunkline_llm_gateway.core.citations import citations
from trunkline_llm_gateway.core.prompt import ChatMessage, chat_messages
from trunkline_llm_gateway.ports import Emit, ProviderError, Written

_LONGEST_LINE_BYTES: Final = 1 << 20
_RETRYABLE_STATUS: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = True


class _Request(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    messages: list[ChatMessage]
    max_tokens: int
    stream: bool = True
    stream_options: _StreamOptions = _StreamOptions()


class _Piece(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Piece = msgspec.field(default_factory=_Piece)
    finish_reason: str | None = None


class _UsageReport(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _UsageReport | None = None


_encode: Final = msgspec.json.Encoder().encode
_decode: Final[msgspec.json.Decoder[_Chunk]] = msgspec.json.Decoder(_Chunk)


class OpenAIProvider:
    """One server; keeps its connections warm."""

    def __init__(self, config: ProviderConfig, key: str) -> None:
        """`key` may be empty for servers that need none."""
        self.name = config.name
        self._config = config
        self._url = f"{config.base_url.rstrip('/')}/chat/completions"
        self._headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._session: aiohttp.ClientSession | None = None

    async def write(self, order: Complete, emit: Emit) -> Written:
        """Stream one completion."""
        try:
            async with asyncio.timeout(self._config.total_timeout_s):
                return await self._stream(order, emit)
        except TimeoutError as error:
            raise ProviderError("timeout", f"{self.name}: no whole answer in time") from error
        except aiohttp.ClientConnectorError as error:
            raise ProviderError("connect", f"{self.name}: {error}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ProviderError("cut", f"{self.name}: {error}") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _stream(self, order: Complete, emit: Emit) -> Written:
        model = self._config.models[0]
        request = _Request(model=model, messages=chat_messages(order), max_tokens=order.max_tokens)
        started = time.perf_counter()
        pieces: list[str] = []
        first_token_ms = 0.0
        usage = _UsageReport()
        finished = False
        async for chunk in self._chunks(_encode(request)):
            usage = chunk.usage or usage
            for choice in chunk.choices[:1]:
                if choice.delta.content:
                    if not pieces:
                        first_token_ms = (time.perf_counter() - started) * 1000
                    pieces.append(choice.delta.content)
                    await emit(choice.delta.content)
                finished = finished or choice.finish_reason is not None
        if not finished:
            raise ProviderError("cut", f"{self.name}: the stream ended before the answer did")
        text = "".join(pieces)
        return Written(
            text=text,
            model=model,
            citations=citations(text, order.passages),
            usage=self._usage(usage, text),
            first_token_ms=round(first_token_ms, 3),
            model_ms=round((time.perf_counter() - started) * 1000, 3),
        )

    async def _chunks(self, body: bytes) -> AsyncIterator[_Chunk]:
        """Parse server-sent events; each wait has its own limit."""
        async with self._open().post(self._url, data=body, headers=self._headers) as response:
            if response.status != 200:  # noqa: PLR2004
                reason = (await response.text())[:300]
                raise ProviderError(
                    "status",
                    f"{self.name}: {response.status} {reason}",
                    retryable=response.status in _RETRYABLE_STATUS,
                )
            wait_s = self._config.first_token_timeout_s
            while line := await asyncio.wait_for(response.content.readline(), wait_s):
                payload = line.strip()
                if not payload.startswith(b"data:"):
                    continue
                payload = payload[5:].strip()
                if payload == b"[DONE]":
                    return
                try:
                    yield _decode.decode(payload)
                except msgspec.DecodeError as error:
                    raise ProviderError("malformed", f"{self.name}: {error}") from error
                wait_s = self._config.idle_timeout_s

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._config.max_concurrency, keepalive_timeout=60),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._config.connect_timeout_s),
                read_bufsize=_LONGEST_LINE_BYTES,
            )
        return self._session

    def _usage(self, report: _UsageReport, text: str) -> Usage:
        """Count what the server reports; a server that reports nothing is counted by words."""
        output = report.completion_tokens or len(text.split())
        cost = (
            report.prompt_tokens * self._config.input_cost_per_million + output * self._config.output_cost_per_million
        ) / 1e6
        return Usage(input_tokens=report.prompt_tokens, output_tokens=output, cost=cost)
