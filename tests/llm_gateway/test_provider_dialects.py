"""Requests to providers and their answers, in the shapes of the vendors' public documentation.

The samples are minimal, based on the streaming and tool-use pages of each vendor's documentation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from trunkline_llm_gateway.adapters.anthropic import Anthropic
from trunkline_llm_gateway.adapters.openai import OpenAI
from trunkline_llm_gateway.adapters.remote import RemoteProvider
from trunkline_llm_gateway.ports import Call, ProviderError, ProviderResult
from trunkline_protocols.completion import Complete, ToolSpec
from trunkline_protocols.context import Utterance
from trunkline_protocols.tool_steps import ToolCall, ToolOutcome, ToolStep

from tests.llm_gateway.gateway_harness import make_request, provider_config
from tests.support.http_server import serve_http

WEATHER = ToolSpec(
    name="get_weather",
    description="Get the current weather",
    parameters={"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
)
TOOL_CALL = ToolCall(id="call_1", name="get_weather", arguments='{"location": "Paris"}')
STEP = ToolStep(
    calls=[TOOL_CALL], outcomes=[ToolOutcome(id="call_1", text="no such city", failed=True)], text="Let me see."
)

ANTHROPIC_TEXT = b"""\
event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],\
"model":"claude","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":25,"cache_creation_input_tokens":0,\
"cache_read_input_tokens":5,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"!"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}

event: message_stop
data: {"type":"message_stop"}

"""
ANTHROPIC_TOOL = b"""\
event: message_start
data: {"type":"message_start","message":{"id":"msg_2","type":"message","role":"assistant","content":[],\
"model":"claude","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":472,"output_tokens":2}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"The weather is asked for."}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"x"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Let me look."}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1",\
"name":"get_weather","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\\"location\\":"}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":" \\"Paris\\"}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},\
"usage":{"input_tokens":472,"output_tokens":89}}

event: message_stop
data: {"type":"message_stop"}

"""
ANTHROPIC_OVERLOADED = b"""\
event: error
data: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}

"""
OPENAI_TOOL = b"""\
data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"small","choices":[{"index":0,\
"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function",\
"function":{"name":"get_weather","arguments":""}}]},"finish_reason":null}],"usage":null}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\\"location\\":"}}]},\
"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":" \\"Paris\\"}"}}]},\
"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_2","type":"function",\
"function":{"name":"get_time","arguments":"{}"}}]},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

data: {"choices":[],"usage":{"prompt_tokens":82,"completion_tokens":17,"total_tokens":99}}

data: [DONE]

"""
OPENAI_TOOLS_WITHOUT_INDEX = b"""\
data: {"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"get_weather","arguments":"{}"}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"id":"b","function":{"name":"get_time","arguments":"{}"}}]},\
"finish_reason":"tool_calls"}]}

data: [DONE]

"""


@dataclass
class ReplayServer:
    """A server that replies with a recorded body and keeps the requests."""

    body: bytes = b""
    content_type: str = "text/event-stream"
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    url: str = ""

    async def reply(self, request: web.Request) -> web.Response:
        self.requests.append((request.path, dict(request.headers), await request.json()))
        return web.Response(body=self.body, headers={"Content-Type": self.content_type})


@asynccontextmanager
async def serving(server: ReplayServer) -> AsyncIterator[ReplayServer]:
    """Serve on a free port while the block runs."""
    async with serve_http([web.post("/{path:.*}", server.reply)], cancels_handlers=False) as url:
        server.url = f"{url}/v1"
        yield server


@pytest.fixture
async def server() -> AsyncIterator[ReplayServer]:
    """Serve the body that the test sets."""
    async with serving(ReplayServer()) as server:
        yield server


async def completed(provider: RemoteProvider, call: Call) -> tuple[ProviderResult, str]:
    """Return the result and the text."""
    pieces: list[str] = []

    async def keep(piece: str) -> None:
        pieces.append(piece)

    try:
        return await provider.complete(call, keep), "".join(pieces)
    finally:
        await provider.close()


def anthropic(server: ReplayServer) -> RemoteProvider:
    config = provider_config("claude", server.url, kind="anthropic")
    return RemoteProvider(config, "secret-key", Anthropic(config))


def openai(server: ReplayServer, **changes: Any) -> RemoteProvider:
    config = provider_config("primary", server.url, **changes)
    return RemoteProvider(config, "secret-key", OpenAI(config))


LONG = make_request(
    transcript=[
        Utterance(role="agent", text="Welcome"),
        Utterance(role="customer", text="Hi"),
        Utterance(role="customer", text="I am Ada"),
        Utterance(role="agent", text="Hello Ada"),
    ],
    tools=[WEATHER],
    tool_steps=[STEP],
    temperature=0.0,
)


# -- Anthropic ---


async def test_anthropic_text_stop_reason_and_usage(server: ReplayServer) -> None:
    """Cached input counts as input; the last output count is final."""
    server.body = ANTHROPIC_TEXT
    result, text = await completed(anthropic(server), Call(make_request(), "claude"))
    assert (text, result.stop_reason) == ("Hello!", "stop")
    assert (result.usage.input_tokens, result.usage.output_tokens) == (30, 15)
    assert result.usage.cost == pytest.approx((30 * 1.0 + 15 * 10.0) / 1e6)


async def test_anthropic_tool_call_is_assembled_beside_text_and_thinking(server: ReplayServer) -> None:
    """Thinking is not emitted."""
    server.body = ANTHROPIC_TOOL
    result, text = await completed(anthropic(server), Call(make_request(tools=[WEATHER]), "claude"))
    assert (text, result.stop_reason) == ("Let me look.", "tool_calls")
    assert result.tool_calls == [ToolCall(id="toolu_1", name="get_weather", arguments='{"location": "Paris"}')]
    assert (result.usage.input_tokens, result.usage.output_tokens) == (472, 89)


async def test_anthropic_request_conforms_to_the_documentation(server: ReplayServer) -> None:
    """A separate system text; roles alternate and the user begins; a continued text comes last."""
    server.body = ANTHROPIC_TEXT
    await completed(anthropic(server), Call(LONG, "claude", "Refunds take"))
    path, headers, body = server.requests[0]
    assert (path, headers["x-api-key"], headers["anthropic-version"]) == ("/v1/messages", "secret-key", "2023-06-01")
    assert "refunds specialist" in body["system"]
    assert (body["stream"], body["max_tokens"], body["temperature"]) == (True, 512, 0.0)
    assert body["tools"] == [
        {"name": "get_weather", "description": "Get the current weather", "input_schema": WEATHER.parameters}
    ]
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "I am Ada"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Hello Ada"}]},
        {"role": "user", "content": [{"type": "text", "text": "How long do refunds take?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"location": "Paris"}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "no such city", "is_error": True}],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "Refunds take"}]},
    ]


@pytest.mark.parametrize("keep", ["message_delta", "message_stop"])
async def test_anthropic_stream_without_message_stop_is_cut(server: ReplayServer, keep: str) -> None:
    """With or without a preceding stop reason."""
    server.body = ANTHROPIC_TEXT[: ANTHROPIC_TEXT.index(b"event: " + keep.encode())]
    with pytest.raises(ProviderError) as failure:
        await completed(anthropic(server), Call(make_request(), "claude"))
    assert failure.value.code == "cut"


async def test_anthropic_error_in_the_stream_is_retryable(server: ReplayServer) -> None:
    """`overloaded_error` arrives with status 200 if the stream has begun."""
    server.body = ANTHROPIC_TEXT[: ANTHROPIC_TEXT.index(b"event: message_delta")] + ANTHROPIC_OVERLOADED
    with pytest.raises(ProviderError, match="overloaded_error") as failure:
        await completed(anthropic(server), Call(make_request(), "claude"))
    assert (failure.value.code, failure.value.retryable) == ("status", True)


async def test_anthropic_unstreamed_answer_is_accepted(server: ReplayServer) -> None:
    """Some proxies do not stream."""
    server.content_type = "application/json"
    server.body = (
        b'{"type":"message","role":"assistant","content":[{"type":"text","text":"Hi"},{"type":"tool_use","id":"t",'
        b'"name":"get_weather","input":{"location":"Paris"}}],"stop_reason":"tool_use",'
        b'"usage":{"input_tokens":3,"output_tokens":4}}'
    )
    result, text = await completed(anthropic(server), Call(make_request(tools=[WEATHER]), "claude"))
    assert (text, result.stop_reason, result.usage.output_tokens) == ("Hi", "tool_calls", 4)
    assert result.tool_calls == [ToolCall(id="t", name="get_weather", arguments='{"location":"Paris"}')]


# -- OpenAI ---


async def test_openai_tool_calls_are_assembled_from_their_deltas(server: ReplayServer) -> None:
    """Two interleaved calls; an answer without text is valid."""
    server.body = OPENAI_TOOL
    result, text = await completed(openai(server), Call(make_request(tools=[WEATHER]), "small"))
    assert (text, result.stop_reason) == ("", "tool_calls")
    assert result.tool_calls == [TOOL_CALL, ToolCall(id="call_2", name="get_time", arguments="{}")]
    assert (result.usage.input_tokens, result.usage.output_tokens) == (82, 17)


async def test_openai_tool_calls_without_index_are_distinguished_by_id(server: ReplayServer) -> None:
    """Some servers send each call in one piece."""
    server.body = OPENAI_TOOLS_WITHOUT_INDEX
    result, _ = await completed(openai(server), Call(make_request(tools=[WEATHER]), "small"))
    assert [(call.id, call.name) for call in result.tool_calls] == [("a", "get_weather"), ("b", "get_time")]


async def test_openai_request_conforms_to_the_documentation(server: ReplayServer) -> None:
    """Tools as functions, their results as separate messages, usage requested."""
    server.body = OPENAI_TOOL
    await completed(openai(server), Call(LONG, "small"))
    path, headers, body = server.requests[0]
    assert (path, headers["Authorization"]) == ("/v1/chat/completions", "Bearer secret-key")
    assert (body["model"], body["stream"], body["stream_options"]) == ("small", True, {"include_usage": True})
    assert body["tools"][0]["type"] == "function"
    assert body["tools"][0]["function"]["parameters"] == WEATHER.parameters
    assert [message["role"] for message in body["messages"]] == [
        "system",
        "assistant",
        "user",
        "user",
        "assistant",
        "user",
        "assistant",
        "tool",
    ]
    assert body["messages"][-2]["tool_calls"][0]["function"]["arguments"] == TOOL_CALL.arguments
    assert body["messages"][-1] == {"role": "tool", "content": "no such city", "tool_call_id": "call_1"}
    assert "continue_final_message" not in body


async def test_openai_text_is_continued_by_the_last_message(server: ReplayServer) -> None:
    """VLLM requires explicit parameters for it."""
    server.body = OPENAI_TOOL
    await completed(openai(server, continues="vllm"), Call(make_request(), "small", "Refunds take"))
    body = server.requests[0][2]
    assert body["messages"][-1] == {"role": "assistant", "content": "Refunds take"}
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


async def test_message_without_instructions_is_sent_alone(server: ReplayServer) -> None:
    """Without instructions there is no system message."""
    server.body = OPENAI_TOOL
    await completed(openai(server), Call(Complete(instructions="", text="Hi"), "small"))
    assert server.requests[0][2]["messages"] == [{"role": "user", "content": "Hi"}]
