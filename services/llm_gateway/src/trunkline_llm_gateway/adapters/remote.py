"""Remote provider: one HTTP server, spoken to in the dialect of its API.

Tokens that a server does not report are estimated by the bytes of request and answer, thoughts and tool calls included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from trunkline_protocols.accounting import Usage

from trunkline_llm_gateway.adapters.answer_parser import AnswerParser
from trunkline_llm_gateway.adapters.answer_stream import AnswerStream
from trunkline_llm_gateway.adapters.upstream import Upstream
from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.core.thoughts import ThoughtFilter
from trunkline_llm_gateway.core.token_counts import estimated_tokens
from trunkline_llm_gateway.ports import Call, Emit, ProviderError, ProviderResult

_PROMPT_PROCESSED: Final = frozenset({"timeout", "cut"})
"""Failures before any text after which a server has mostly processed the prompt, and charges for it."""


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
        headers = {**dialect.headers(key), **config.extra_headers}
        self._upstream = Upstream(config, f"{self._api_url}{dialect.path}", headers, secret=key)
        self._prefilled_models: set[str] = set()
        """Models that were seen to close a thought without opening it."""

    async def complete(self, call: Call, emit: Emit) -> ProviderResult:
        """Stream one answer."""
        parser = self._dialect.parser()
        is_prefilled = self._config.thinking == "prefilled" or call.model in self._prefilled_models
        thoughts = ThoughtFilter(starts_inside=is_prefilled)
        answer = AnswerStream(parser, emit, thoughts)
        body = self._dialect.body(call)
        try:
            await self._upstream.stream(body, answer)
            await answer.finish()
        except ProviderError as error:
            if parser.counts.input or answer.size or error.code in _PROMPT_PROCESSED:
                error.usage = self._usage(body, answer)
            if error.code == "thoughts":
                # The model's prompt contains the opening tag: from now on its answers are read accordingly.
                self._prefilled_models.add(call.model)
            raise
        usage = self._usage(body, answer)
        if thoughts.is_unopened:
            parser.oddities.add("unopened_thought")
        return ProviderResult(
            model=call.model,
            usage=usage,
            stop_reason=parser.stop_word,
            tool_calls=parser.tool_calls(),
            first_token_ms=round(answer.first_token_ms, 3),
            model_ms=round(answer.elapsed_ms(), 3),
            oddities=_oddities(parser, usage),
        )

    async def warm(self) -> None:
        """Open a connection by requesting the list of models."""
        await self._upstream.warm(f"{self._api_url}/models")

    async def close(self) -> None:
        """Close the connections."""
        await self._upstream.close()

    def _usage(self, body: bytes, answer: AnswerStream) -> Usage:
        """Return the reported tokens; those that the server does not report are estimated by bytes."""
        counts = answer.parser.counts
        input_tokens = counts.input or estimated_tokens(len(body))
        output_tokens = counts.output or estimated_tokens(answer.size)
        return Usage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cost=self._config.cost(input_tokens, output_tokens),
            estimated=not (counts.input and (counts.output or not answer.size)),
        )


def _oddities(parser: AnswerParser, usage: Usage) -> list[str]:
    """Return the faults of an answer that did not harm it."""
    found = set(parser.oddities)
    if usage.estimated:
        found.add("usage_missing")
    if parser.stop_reason == "other":
        found.add("unknown_stop_reason")
    return sorted(found)
