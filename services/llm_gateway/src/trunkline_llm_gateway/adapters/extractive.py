"""Built-in provider without model or key: quotes sentences of the knowledge base with their sources."""

from __future__ import annotations

import time
from typing import Final

from trunkline_protocols.accounting import Usage
from trunkline_protocols.completion import Complete
from trunkline_protocols.intents import NOT_HELPED

from trunkline_llm_gateway.core.attribution import advice_citations, attribute
from trunkline_llm_gateway.core.extractive import Composed, compose, score_needed
from trunkline_llm_gateway.core.quoted_sentences import Said
from trunkline_llm_gateway.core.small_talk import small_talk_reply
from trunkline_llm_gateway.ports import Call, Emit, ProviderResult

MODEL: Final = "extractive"

_OFFER: Final = "If that does not help either, tell me, and a person takes over."
_KEPT_SENTENCES: Final = 2
_NOTHING_NEW: Final = "If you mean something else, tell me what exactly you need to know."


class ExtractiveProvider:
    """Quotes passages, or abstains."""

    def __init__(self, name: str = "extractive") -> None:
        """`name` is the provider's name in the configuration."""
        self.name = name

    async def complete(self, call: Call, emit: Emit) -> ProviderResult:
        """Compose the answer and emit it sentence by sentence."""
        request = call.request
        started = time.perf_counter()
        composed = _compose(request)
        took_ms = round((time.perf_counter() - started) * 1000, 3)
        advice = [attribute(note) for note in request.advice]
        parts = [*request.notices, *(composed.parts or ([] if advice else [request.abstain])), *advice]
        for number, part in enumerate(parts):
            await emit(part if number == 0 else f" {part}")
        return ProviderResult(
            model=MODEL,
            citations=[*composed.citations, *advice_citations(request)],
            abstained=not composed.parts and not advice,
            usage=Usage(input_tokens=0, output_tokens=sum(len(part.split()) for part in parts)),
            first_token_ms=took_ms,
            model_ms=took_ms,
        )

    async def warm(self) -> None:
        """Do nothing: there is no connection."""

    async def close(self) -> None:
        """Do nothing: there is no connection."""


def _compose(request: Complete) -> Composed:
    """Reply to small talk, else quote the passages; after advice that did not help, quote what was not said yet."""
    courtesy = small_talk_reply(request.intent, speaker=request.speaker, greeting=request.abstain)
    if courtesy is not None:
        return Composed([courtesy], [])
    question = request.corrected or request.text
    if request.intent == NOT_HELPED:
        said = Said([utterance.text for utterance in request.transcript if utterance.role == "agent"])
        composed = compose(question, request.passages, said=said)
        return Composed([*composed.parts, _OFFER], composed.citations) if composed.parts else composed
    needed = score_needed(request.intent)
    composed = compose(question, request.passages, parts=request.parts, min_score=needed)
    return _varied(composed, question, request, needed) if _is_repeated(composed, request) else composed


def _varied(repeated: Composed, question: str, request: Complete, needed: float) -> Composed:
    """Return the best sentences of an answer that was just given, with the next best ones; else with an offer."""
    said = Said([_last_answer(request)], kept=_KEPT_SENTENCES)
    composed = compose(question, request.passages, parts=request.parts, said=said, min_score=needed)
    if set(composed.parts) <= set(repeated.parts):
        return Composed([*composed.parts, _NOTHING_NEW], composed.citations)
    return composed


def _is_repeated(composed: Composed, request: Complete) -> bool:
    """Return whether an answer says nothing that the last one did not say; a repeated question is answered again."""
    asked = next((each.text for each in reversed(request.transcript) if each.role == "customer"), "")
    if not composed.citations or asked.strip().lower() == request.text.strip().lower():
        return False
    answer = _last_answer(request)
    return all(part in answer for part in composed.parts)


def _last_answer(request: Complete) -> str:
    return next((each.text for each in reversed(request.transcript) if each.role == "agent"), "")
