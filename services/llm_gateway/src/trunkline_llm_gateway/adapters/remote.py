"""A provider at an address: its dialect says what is sent and how answers are understood, the rest is the same for all.

What a server does not count is counted by its pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from trunkline_protocols.accounting import Usage
from trunkline_protocols.completion import ToolCall

from trunkline_llm_gateway.adapters import upstream
from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.ports import Call, Emit, ProviderResult


class Parser(upstream.Parser, Protocol):
    """Understands one answer, and knows in the end what came."""

    @property
    def stop_reason(self) -> str:
        """`stop`, `length`, `tool_calls` or the provider's own word."""
        ...

    @property
    def tool_calls(self) -> list[ToolCall]:
        """What the model asks for."""
        ...

    @property
    def input_tokens(self) -> int:
        """As the server counted them; 0 when it did not."""
        ...

    @property
    def output_tokens(self) -> int:
        """As the server counted them; 0 when it did not."""
        ...

    @property
    def pieces(self) -> int:
        """How many came."""
        ...


class Dialect(Protocol):
    """What one kind of server is told."""

    @property
    def path(self) -> str:
        """Where answers are asked for, behind the version's address."""
        ...

    def address(self, base_url: str) -> str:
        """Return the version's address from what the configuration says, without a slash at its end."""
        ...

    def headers(self, key: str) -> Mapping[str, str]:
        """Return the headers of every request; `key` may be empty for servers that need none."""
        ...

    def body(self, call: Call) -> bytes:
        """Return the request for a streamed answer."""
        ...

    def parser(self) -> Parser:
        """Make the parser of one answer."""
        ...


class RemoteProvider:
    """One server; keeps its connections warm."""

    def __init__(self, config: ProviderConfig, key: str, dialect: Dialect) -> None:
        """Nothing is opened yet."""
        self.name = config.name
        self._config = config
        self._dialect = dialect
        self._base = dialect.address(config.base_url.rstrip("/"))
        self._upstream = upstream.Upstream(config, f"{self._base}{dialect.path}", dialect.headers(key), secret=key)

    async def write(self, call: Call, emit: Emit) -> ProviderResult:
        """Stream one answer."""
        parser = self._dialect.parser()
        timing = await self._upstream.stream(self._dialect.body(call), parser, emit)
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
            first_token_ms=round(timing.first_token_ms, 3),
            model_ms=round(timing.elapsed_ms(), 3),
        )

    async def warm(self) -> None:
        """Open a connection by asking for the list of models."""
        await self._upstream.warm(f"{self._base}/models")

    async def close(self) -> None:
        """Close the connections."""
        await self._upstream.close()
