"""Differences between servers of the same API: each preset sends what its server takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from trunkline_llm_gateway.adapters.anthropic import Anthropic
from trunkline_llm_gateway.adapters.openai import OpenAI
from trunkline_llm_gateway.adapters.remote import RemoteProvider
from trunkline_llm_gateway.core.presets import PRESETS
from trunkline_llm_gateway.ports import Call, ProviderError

from tests.llm_gateway.gateway_harness import make_request, provider_config
from tests.llm_gateway.test_provider_dialects import (
    ANTHROPIC_TEXT,
    LONG,
    OPENAI_TOOL,
    ReplayServer,
    completed,
    openai,
    serving,
)
from tests.support.raw_model_server import Reply, events, finish, serve_raw, text


@pytest.fixture
async def server() -> AsyncIterator[ReplayServer]:
    """Serve the body that the test sets."""
    async with serving(ReplayServer()) as server:
        yield server


def preset(server: ReplayServer, name: str) -> RemoteProvider:
    """Return a provider with a preset at the test's server."""
    fields = {key: value for key, value in PRESETS[name].items() if key != "base_url"}
    return openai(server, **fields)


@pytest.mark.parametrize(
    ("name", "present", "absent"),
    [
        ("openai", {"max_completion_tokens": 512, "temperature": 0.0}, {"max_tokens"}),
        ("openai-reasoning", {"max_completion_tokens": 512 + 4096}, {"max_tokens", "temperature"}),
        ("mistral", {"max_tokens": 512, "temperature": 0.0}, {"stream_options", "max_completion_tokens"}),
        ("vllm", {"max_tokens": 512, "stream_options": {"include_usage": True}}, {"max_completion_tokens"}),
        ("ollama", {"max_tokens": 512}, {"continue_final_message"}),
        ("gemini-compat", {"max_tokens": 512 + 2048}, {"max_completion_tokens"}),
    ],
)
async def test_preset_sends_what_its_server_takes(
    server: ReplayServer, name: str, present: dict[str, Any], absent: set[str]
) -> None:
    """Servers refuse requests with fields that they do not know."""
    server.body = OPENAI_TOOL
    await completed(preset(server, name), Call(LONG, "small"))
    body = server.requests[0][2]
    assert {key: body.get(key) for key in present} == present
    assert not absent & body.keys()


async def test_mistral_takes_its_own_ids_and_prefix(server: ReplayServer) -> None:
    """The calls of another provider are renamed, equally in call and result; a text to continue is marked."""
    server.body = OPENAI_TOOL
    await completed(preset(server, "mistral"), Call(LONG, "small", "Refunds take"))
    *_, assistant, result, prefix = server.requests[0][2]["messages"]
    id_ = assistant["tool_calls"][0]["id"]
    assert (len(id_), id_.isalnum(), result["tool_call_id"]) == (9, True, id_)
    assert prefix == {"role": "assistant", "content": "Refunds take", "prefix": True}


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_configured_fields_and_headers_are_sent(server: ReplayServer, kind: str) -> None:
    """They may replace fields that the gateway sets, but for those that make the request."""
    extra: dict[str, Any] = {
        "extra_body": {"reasoning_effort": "low", "max_tokens": 99},
        "extra_headers": {"X-Title": "Support"},
    }
    server.body = ANTHROPIC_TEXT if kind == "anthropic" else OPENAI_TOOL
    config = provider_config("primary", server.url, kind=kind, sends_temperature=False, **extra)
    dialect = Anthropic(config) if kind == "anthropic" else OpenAI(config)
    await completed(RemoteProvider(config, "secret-key", dialect), Call(LONG, "small"))
    _, headers, body = server.requests[0]
    assert (body["reasoning_effort"], body["max_tokens"], headers["X-Title"]) == ("low", 99, "Support")
    assert "temperature" not in body


async def test_model_that_closes_unopened_thoughts_is_read_accordingly_from_then_on() -> None:
    """Its prompt contains the opening tag: the first answer is withdrawn, the next one is held back until the tag."""
    pieces: list[str] = []
    was_shown = asyncio.Event()

    async def keep(piece: str) -> None:
        pieces.append(piece)
        was_shown.set()

    reply = Reply(events(text("They ask."), text("</think>5 days."), finish()), pauses_after=1)
    async with serve_raw(reply, Reply(reply.body), pause=was_shown.wait) as raw:
        config = provider_config("primary", raw.url)
        provider = RemoteProvider(config, "", OpenAI(config))
        try:
            with pytest.raises(ProviderError) as failure:
                await provider.complete(Call(make_request(), "small"), keep)
            assert (failure.value.code, pieces) == ("thoughts", ["They ask."])
            pieces.clear()
            await provider.complete(Call(make_request(), "small"), keep)
            assert "".join(pieces) == "5 days."
        finally:
            await provider.close()
