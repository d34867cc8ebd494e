"""Presets of providers: what their servers take and send, as defaults of a `[[provider]]` that names one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "openai": {
        "kind": "openai",
        "base_url": "https://api.openai.com/v1",
        "max_tokens_field": "max_completion_tokens",
    },
    # Reasoning models refuse a temperature, and their thoughts count towards the limit of the answer.
    "openai-reasoning": {
        "kind": "openai",
        "base_url": "https://api.openai.com/v1",
        "max_tokens_field": "max_completion_tokens",
        "sends_temperature": False,
        "thinking_tokens": 4096,
        "first_token_timeout_s": 30.0,
    },
    "anthropic": {"kind": "anthropic", "base_url": "https://api.anthropic.com/v1"},
    # Refuses fields that it does not know; reports usage without being asked.
    "mistral": {
        "kind": "openai",
        "base_url": "https://api.mistral.ai/v1",
        "stream_options": False,
        "continues": "mistral",
        "tool_call_ids": "nine_characters",
    },
    "vllm": {"kind": "openai", "base_url": "http://127.0.0.1:8000/v1", "continues": "vllm"},
    # Loads a model at its first request.
    "ollama": {
        "kind": "openai",
        "base_url": "http://127.0.0.1:11434/v1",
        "continues": "prefill",
        "first_token_timeout_s": 60.0,
        "total_timeout_s": 120.0,
    },
    "gemini-compat": {
        "kind": "openai",
        "base_url": "https://generativelanguage.googleapis.com/v1beta/openai",
        "thinking_tokens": 2048,
    },
}

_PROVIDERS: Final = "provider"
_PRESET: Final = "preset"


class UnknownPresetError(ValueError):
    """A provider names a preset that does not exist."""


def apply_presets(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a decoded configuration in which every provider has the defaults of its preset; its own keys win.

    Values of another shape are left for the validation that follows; raises `UnknownPresetError`.
    """
    providers = config.get(_PROVIDERS)
    if not isinstance(providers, list):
        return dict(config)
    return {**config, _PROVIDERS: [_with_preset(number, provider) for number, provider in enumerate(providers)]}


def _with_preset(number: int, provider: object) -> object:
    if not isinstance(provider, Mapping) or not isinstance(name := provider.get(_PRESET), str) or not name:
        return provider
    if name not in PRESETS:
        raise UnknownPresetError(f"{_PROVIDERS}[{number}].{_PRESET}: must be one of: {', '.join(PRESETS)}")
    return {**PRESETS[name], **provider}
