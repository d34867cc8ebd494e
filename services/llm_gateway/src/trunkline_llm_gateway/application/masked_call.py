"""Calls of providers that are not trusted: personal data is masked on the way there and restored on the way back.

Every attempt has tokens of its own, so that neither failover, a hedged pair nor coalesced requests can mix them; what
they share, the answer so far and the finished completion, holds the data itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec.structs import replace
from trunkline_protocols.tool_steps import ToolCall

from trunkline_llm_gateway.application.detection_cache import DetectionCache
from trunkline_llm_gateway.application.provider_client import ProviderClient
from trunkline_llm_gateway.core.personal_data.countries import countries_of
from trunkline_llm_gateway.core.personal_data.requests import MaskedRequest, mask_request
from trunkline_llm_gateway.core.personal_data.tokens import StreamUnmasker, unmask_json
from trunkline_llm_gateway.ports import Call, Emit, ProviderResult

_MAX_LENGTH_AT_ONCE: Final = 500
"""Characters of a new message up to which it is searched at once, for at most some 10 ms if it is all digits. The
search of 8,000 would hold up the deltas of all other completions for 0.1 s, so that a thread does it."""


class MaskedCaller:
    """Calls providers with tokens in place of personal data unless they are trusted."""

    def __init__(self) -> None:
        """Start without knowledge of any text."""
        self._cache = DetectionCache()

    async def complete(
        self, client: ProviderClient, call: Call, emit: Emit, *, countries: Iterable[str], deadline: float
    ) -> ProviderResult:
        """Call a provider as `ProviderClient.complete` does; `countries` are the configured ones.

        A token that an answer has only begun when it fails is not emitted.
        """
        if client.config.gets_personal_data:
            return await client.complete(call, emit, deadline=deadline)
        known = countries_of(call.request.locale, countries)
        masked = await self._mask(call, known)
        if not masked.values:
            return await client.complete(call, emit, deadline=deadline)
        unmasker = StreamUnmasker(masked.values)

        async def restore(piece: str) -> None:
            if text := unmasker.add(piece):
                await emit(text)

        masked_call = replace(call, request=masked.request, prefix=masked.prefix)
        result = await client.complete(masked_call, restore, deadline=deadline)
        if rest := unmasker.end():
            await emit(rest)
        return replace(result, tool_calls=[_restored(each, masked.values) for each in result.tool_calls])

    async def _mask(self, call: Call, countries: tuple[str, ...]) -> MaskedRequest:
        def mask() -> MaskedRequest:
            return mask_request(call.request, call.prefix, lambda text: self._cache.find(text, countries))

        texts = (call.request.text, *(utterance.text for utterance in call.request.transcript))
        is_long = any(len(text) > _MAX_LENGTH_AT_ONCE and not self._cache.knows(text, countries) for text in texts)
        return await asyncio.to_thread(mask) if is_long else mask()


def _restored(call: ToolCall, values: Mapping[str, str]) -> ToolCall:
    return replace(call, arguments=unmask_json(call.arguments, values))
