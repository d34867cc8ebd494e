"""Simulated provider for load tests: its timing is sampled from distributions and reported exactly for subtraction."""

from __future__ import annotations

import asyncio
import math
import random
from typing import Final

from trunkline_protocols.accounting import Usage

from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.core.extractive import compose
from trunkline_llm_gateway.ports import Call, Emit, ProviderResult

_MAX_TOKENS: Final = 400


class SimulatedProvider:
    """Emits the extractive answer, or filler, at a model's pace."""

    def __init__(self, config: ProviderConfig) -> None:
        """Seed the distributions: equal seeds give equal times."""
        self.name = config.name
        self._config = config
        self._random = random.Random(config.seed)  # noqa: S311 - load, not secrets

    async def complete(self, call: Call, emit: Emit) -> ProviderResult:
        """Wait for the first token, then emit token by token at absolute times, so that delays do not accumulate."""
        config, request = self._config, call.request
        first_token_s = self._sample(config.first_token_ms_median, config.first_token_sigma) / 1000
        count = max(1, min(_MAX_TOKENS, round(self._sample(config.tokens_median, config.tokens_sigma))))
        composed = compose(request.text, request.passages)
        tokens = _tokens(composed.text or request.abstain, count)
        total_s = first_token_s + (len(tokens) - 1) / config.tokens_per_s
        loop = asyncio.get_running_loop()
        started = loop.time()
        for number, piece in enumerate(tokens):
            await asyncio.sleep(max(0.0, started + first_token_s + number / config.tokens_per_s - loop.time()))
            await emit(piece)
        return ProviderResult(
            model=call.model or "simulated",
            citations=composed.citations,
            usage=Usage(input_tokens=len(request.text.split()), output_tokens=len(tokens)),
            first_token_ms=round(first_token_s * 1000, 3),
            model_ms=round(total_s * 1000, 3),
        )

    async def warm(self) -> None:
        """Do nothing: there is no connection."""

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    def _sample(self, median: float, sigma: float) -> float:
        return self._random.lognormvariate(math.log(median), sigma)


def _tokens(text: str, count: int) -> list[str]:
    """Split a text into words, repeated until there are `count` of them."""
    words = text.split() or ["…"]
    repeated = [words[number % len(words)] for number in range(count)]
    return [word if number == 0 else f" {word}" for number, word in enumerate(repeated)]
