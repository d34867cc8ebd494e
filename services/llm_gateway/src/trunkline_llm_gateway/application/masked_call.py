"""Calls of providers that are not trusted: personal data is masked on the way there and restored on the way back.

Every attempt has tokens of its own, so that neither failover, a hedged pair nor coalesced requests can mix them; what
they share, the answer so far and the finished completion, holds the data itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace
from trunkline_protocols.tool_steps import ToolCall

from trunkline_llm_gateway.application.detection_cache import DetectionCache
from trunkline_llm_gateway.application.provider_client import ProviderClient
from trunkline_llm_gateway.core.personal_data.countries import countries_of
from trunkline_llm_gateway.core.personal_data.requests import mask_request
from trunkline_llm_gateway.core.personal_data.tokens import StreamUnmasker, unmask_json
from trunkline_llm_gateway.ports import Call, Emit, ProviderResult


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
        masked = mask_request(call.request, call.prefix, lambda text: self._cache.find(text, known))
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


def _restored(call: ToolCall, values: Mapping[str, str]) -> ToolCall:
    return replace(call, arguments=unmask_json(call.arguments, values))
