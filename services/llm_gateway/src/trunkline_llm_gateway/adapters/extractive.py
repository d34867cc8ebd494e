"""The built-in provider: no model, no key; sentences of the knowledge base, with their sources."""

from __future__ import annotations

import time
from typing import Final

from trunkline_protocols.accounting import Usage

from trunkline_llm_gateway.core.attribution import advised_citations, attributed
from trunkline_llm_gateway.core.extractive import Composed, compose
from trunkline_llm_gateway.core.small_talk import reply_to
from trunkline_llm_gateway.ports import Call, Emit, ProviderResult

MODEL: Final = "extractive"


class ExtractiveProvider:
    """Quotes, or abstains."""

    def __init__(self, name: str = "extractive") -> None:
        """`name` is what the configuration calls it."""
        self.name = name

    async def write(self, call: Call, emit: Emit) -> ProviderResult:
        """Compose the answer and emit it sentence by sentence."""
        request = call.request
        started = time.perf_counter()
        courtesy = reply_to(request.question, speaker=request.speaker)
        composed = compose(request.question, request.passages) if courtesy is None else Composed([courtesy], [])
        took_ms = (time.perf_counter() - started) * 1000
        advice = [attributed(note) for note in request.advice]
        parts = [*request.notices, *(composed.parts or ([] if advice else [request.abstain])), *advice]
        for number, part in enumerate(parts):
            await emit(part if number == 0 else f" {part}")
        return ProviderResult(
            model=MODEL,
            citations=[*composed.citations, *advised_citations(request)],
            abstained=not composed.parts and not advice,
            usage=Usage(input_tokens=0, output_tokens=sum(len(part.split()) for part in parts)),
            first_token_ms=round(took_ms, 3),
            model_ms=round(took_ms, 3),
        )

    async def warm(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing is open."""
