"""Faults that a server reports in its own words, in an error status or inside a stream: their code, and if to retry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

_FILTER_WORDS: Final = ("content_filter", "content_management_policy", "responsibleaipolicy", "content_policy")
_REQUEST_TYPES: Final = ("invalid_request", "badrequest", "bad_request", "context_length_exceeded", "validation")
_FINAL_TYPES: Final = (
    "insufficient_quota",
    "authentication",
    "permission",
    "not_found",
    "invalid_api_key",
    "billing",
    "model_not_found",
)
_REQUEST_CODES: Final = frozenset({"400", "413", "422"})
_FINAL_CODES: Final = frozenset({"401", "402", "403", "404", "405"})
_FIELDS: Final = ("code", "type", "status")
_MAX_DEPTH: Final = 4
_MAX_CHARACTERS: Final = 300


class UpstreamFault(NamedTuple):
    """Code of a `ProviderError`, and whether a later attempt at the same server may succeed."""

    code: str
    is_retryable: bool


def classify(error: object) -> UpstreamFault:
    """Return the fault that an error object or text describes."""
    words = _words(error, _MAX_DEPTH)
    if any(word in text for text in words for word in _FILTER_WORDS):
        return UpstreamFault("content_filter", is_retryable=False)
    if any(text in _REQUEST_CODES or text.startswith(_REQUEST_TYPES) for text in words):
        return UpstreamFault("request", is_retryable=False)
    is_final = any(text in _FINAL_CODES or text.startswith(_FINAL_TYPES) for text in words)
    return UpstreamFault("status", is_retryable=not is_final)


def describe(error: object) -> str:
    """Return an error as a text of at most 300 characters, without values that are nested."""
    if isinstance(error, Mapping):
        parts = [f"{name}: {error[name]}" for name in (*_FIELDS, "message") if isinstance(error.get(name), str | int)]
        return ", ".join(parts)[:_MAX_CHARACTERS]
    return str(error)[:_MAX_CHARACTERS] if isinstance(error, str | int | float) else type(error).__name__


def is_filtered(body: str) -> bool:
    """Return whether the body of an error status says that a filter has refused the prompt."""
    lower = body.lower()
    return any(word in lower for word in _FILTER_WORDS)


def _words(error: object, depth: int) -> list[str]:
    """Return the fields that classify an error, in lower case; its message is prose, which does not."""
    if not isinstance(error, Mapping) or depth == 0:
        return []
    inner = error.get("innererror") or error.get("metadata")
    own = [str(error[name]).lower() for name in _FIELDS if isinstance(error.get(name), str | int)]
    return [*own, *_words(inner, depth - 1)]
