"""Probes of a provider: requests that show what its server takes and sends, and the settings that follow from them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import msgspec
from trunkline_protocols.completion import Complete, ToolSpec
from trunkline_protocols.tool_steps import ToolCall, ToolOutcome, ToolStep

from trunkline_llm_gateway.core.config import ProviderConfig

Settings = dict[str, Any]
"""Keys of a `[[provider]]` and their values."""

Verdict = Literal["yes", "no", "unclear"]

THINKING_TOKENS: Final = 4096
CONTINUED: Final = "one, two, three,"
"""Text that a continuation probe begins with."""
_NEXT_WORDS: Final = ("four", "4")
_MAX_TOKENS: Final = 64
_CALL: Final = ToolCall(id="call_0123456789abcdef", name="get_weather", arguments='{"city": "Paris"}')


class ProviderFinding(msgspec.Struct, frozen=True):
    """One finding."""

    name: str
    verdict: Verdict
    detail: str


class CheckReport(msgspec.Struct, frozen=True):
    """All findings, and the settings to change; `works` if the provider completes a text with them."""

    provider: str
    model: str
    works: bool
    findings: list[ProviderFinding]
    settings: Settings


def text_request() -> Complete:
    """Return a request for a short text, with every field that a server may refuse."""
    return Complete(
        instructions="You are a support agent.",
        text="Reply with one short sentence that greets a customer.",
        max_tokens=_MAX_TOKENS,
        temperature=0.0,
        purpose="summary",
    )


def tool_request() -> Complete:
    """Return a request that a model with tools answers with a call."""
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = ToolSpec(name=_CALL.name, description="Get the current weather of a city.", parameters=parameters)
    request = text_request()
    return msgspec.structs.replace(request, text="What is the weather in Paris? Use the tool.", tools=[tool])


def tool_result_request() -> Complete:
    """Return the request that follows the call of another provider, whose id has that provider's form."""
    step = ToolStep(calls=[_CALL], outcomes=[ToolOutcome(id=_CALL.id, text="Sunny, 21 degrees.")])
    return msgspec.structs.replace(tool_request(), tool_steps=[step])


def continuation_request() -> Complete:
    """Return the request whose answer begins with `CONTINUED`."""
    question = "Write the numbers from one to six as English words, separated by commas, and nothing else."
    return msgspec.structs.replace(text_request(), text=question)


def request_variants(config: ProviderConfig) -> Iterator[Settings]:
    """Yield changes of the fields that servers refuse, fewest changes first; the first one is no change."""
    other = "max_tokens" if config.max_tokens_field == "max_completion_tokens" else "max_completion_tokens"
    changes: list[tuple[str, Any]] = []
    if config.kind == "openai":
        changes.append(("max_tokens_field", other))
        if config.stream_options:
            changes.append(("stream_options", False))
    if config.sends_temperature:
        changes.append(("sends_temperature", False))
    for count in range(len(changes) + 1):
        for chosen in itertools.combinations(changes, count):
            yield dict(chosen)


def continuation_modes(config: ProviderConfig) -> list[str]:
    """Return the ways to continue a text that the provider may support, the configured one first."""
    modes = ["prefill", "vllm", "mistral"] if config.kind == "openai" else ["prefill"]
    return sorted(modes, key=lambda mode: mode != config.continues)


def repair_for(code: str) -> Settings:
    """Return the settings that may avert a failure or an oddity of an answer, none if no setting does."""
    match code:
        case "thoughts" | "unopened_thought":
            return {"thinking": "prefilled"}
        case "empty":
            return {"thinking_tokens": THINKING_TOKENS}
        case "cut":
            return {"ends_with": "done"}
        case _:
            return {}


def is_continuation(text: str) -> bool:
    """Return whether a text continues `CONTINUED`, neither repeating nor answering it."""
    return text.lstrip(" ,").lower().startswith(_NEXT_WORDS)


def changed(config: ProviderConfig, settings: Mapping[str, Any]) -> Settings:
    """Return the settings that differ from the configuration."""
    return {name: value for name, value in settings.items() if getattr(config, name) != value}


def as_toml(settings: Mapping[str, Any]) -> str:
    """Return settings as lines of a `[[provider]]`; their values are texts, numbers and switches."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
