"""A provider for load: its time is drawn from distributions and known exactly, so that it can be subtracted."""

from __future__ import annotations

import asyncio
import math
import random

from trunkline_protocols.accounting import Usage

from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.core.extractive import compose
from trunkline_llm_gateway.ports import Call, Emit, ProviderResult

_LONGEST_TEXT_TOKENS = 400


class SimulatedProvider:
    """Writes the extractive answer, or filler, at a model's pace."""

    def __init__(self, config: ProviderConfig) -> None:
        """The same seed draws the same times."""
        self.name = config.name
        self._config = config
        self._random = random.Random(config.seed)  # noqa: S311 - load, not secrets

    async def write(self, call: Call, emit: Emit) -> ProviderResult:
        """Wait for the first token, then emit token by token, at absolute times: delays do not add up."""
        config, request = self._config, call.request
        first_s = self._rng(config.first_token_ms_median, config.first_token_sigma) / 1000
        count = max(1, min(_LONGEST_TEXT_TOKENS, round(self._rng(config.tokens_median, config.tokens_sigma))))
        composed = compose(request.question, request.passages)
        tokens = _tokens(composed.text or request.abstain, count)
        total_s = first_s + (len(tokens) - 1) / config.tokens_per_s
        loop = asyncio.get_running_loop()
        started = loop.time()
        for number, piece in enumerate(tokens):
            await asyncio.sleep(max(0.0, started + first_s + number / config.tokens_per_s - loop.time()))
            await emit(piece)
        return ProviderResult(
            model=call.model or "simulated",
            citations=composed.citations,
            usage=Usage(input_tokens=len(request.question.split()), output_tokens=len(tokens)),
            first_token_ms=round(first_s * 1000, 3),
            model_ms=round(total_s * 1000, 3),
        )

    async def warm(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing is open."""

    def _rng(self, median: float, sigma: float) -> float:
        return self._random.lognormvariate(math.log(median), sigma)


def _tokens(text: str, count: int) -> list[str]:
    """Cut a text into words, repeated until there are `count` of them."""
    words = text.split() or ["…"]
    repeated = [words[number % len(words)] for number in range(count)]
    return [word if number == 0 else f" {word}" for number, word in enumerate(repeated)]
