"""Remote provider: one HTTP server, spoken to in the dialect of its API.

Tokens that a server does not report are counted by pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from trunkline_protocols.accounting import Usage

from trunkline_llm_gateway.adapters.answer_parser import AnswerParser
from trunkline_llm_gateway.adapters.upstream import AnswerStream, Upstream
from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.ports import Call, Emit, ProviderResult


class Dialect(Protocol):
    """Requests and answers of one kind of API."""

    @property
    def path(self) -> str:
        """Path of the completion endpoint below the API's base URL."""
        ...

    def api_url(self, base_url: str) -> str:
        """Return the API's base URL with its version, without a trailing slash."""
        ...

    def headers(self, key: str) -> Mapping[str, str]:
        """Return the headers of every request; `key` may be empty for servers without authentication."""
        ...

    def body(self, call: Call) -> bytes:
        """Return the request body for a streamed answer."""
        ...

    def parser(self) -> AnswerParser:
        """Return a parser for one answer."""
        ...


class RemoteProvider:
    """One server with warm connections."""

    def __init__(self, config: ProviderConfig, key: str, dialect: Dialect) -> None:
        """Open no connection yet."""
        self.name = config.name
        self._config = config
        self._dialect = dialect
        self._api_url = dialect.api_url(config.base_url.rstrip("/"))
        self._upstream = Upstream(config, f"{self._api_url}{dialect.path}", dialect.headers(key), secret=key)

    async def complete(self, call: Call, emit: Emit) -> ProviderResult:
        """Stream one answer."""
        parser = self._dialect.parser()
        answer = AnswerStream(parser, emit)
        await self._upstream.stream(self._dialect.body(call), answer)
        output_tokens = parser.output_tokens or parser.pieces
        return ProviderResult(
            model=call.model,
            usage=Usage(
                input_tokens=parser.input_tokens,
                output_tokens=output_tokens,
                cost=self._config.cost(parser.input_tokens, output_tokens),
            ),
            stop_reason=parser.stop_reason,
            tool_calls=parser.tool_calls,
            first_token_ms=round(answer.first_token_ms, 3),
            model_ms=round(answer.elapsed_ms(), 3),
        )

    async def warm(self) -> None:
        """Open a connection by requesting the list of models."""
        await self._upstream.warm(f"{self._api_url}/models")

    async def close(self) -> None:
        """Close the connections."""
        await self._upstream.close()
