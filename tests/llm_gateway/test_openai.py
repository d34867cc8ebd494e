"""The OpenAI-compatible provider against a server that misbehaves on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from trunkline_llm_gateway.adapters.extractive import ExtractiveProvider
from trunkline_llm_gateway.adapters.openai import OpenAIProvider
from trunkline_llm_gateway.config import ProviderConfig
from trunkline_llm_gateway.handlers import Gateway
from trunkline_llm_gateway.ports import ProviderError
from trunkline_protocols.completion import Complete, Completed, DeltaTarget
from trunkline_protocols.ids import ConversationId, Instance, TurnId
from trunkline_protocols.knowledge import Passage, Refused
from trunkline_protocols.turn import Delta

PIECES = ["Refunds ", "take ", "5 days ", "[1]."]
PASSAGE = Passage(document="refunds", title="Refunds", text="Refunds take 5 days.", score=1.0)
ORDER = Complete(
    instructions="You are the refunds specialist.",
    question="How long do refunds take?",
    passages=[PASSAGE],
    abstain="I do not know.",
    stream_to=DeltaTarget(
        conversation=ConversationId("c1"), turn=TurnId("c1-1"), attempt=1, hop=0, ingress=Instance("ingress-1")
    ),
)


@dataclass
class Server:
    """Speaks chat completions, with the fault that a test sets."""

    fault: str = ""
    requests: list[dict[str, object]] = field(default_factory=list)
    url: str = ""

    async def complete(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        if self.fault == "status":
            return web.Response(status=503, text="overloaded")
        if self.fault == "refused":
            return web.Response(status=401, text="no key")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if self.fault == "hang":
            await asyncio.sleep(5)
        for number, piece in enumerate(PIECES):
            if self.fault == "malformed" and number == 2:
                await response.write(b'data: {"choices": oops\n\n')
            if self.fault == "stall" and number == 2:
                await asyncio.sleep(5)
            if self.fault == "cut" and number == 2:
                return response
            await response.write(b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % piece.encode())
        await response.write(b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n')
        if self.fault != "no usage":
            await response.write(b'data: {"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":100}}\n\n')
        await response.write(b": a comment\n\ndata: [DONE]\n\n")
        return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server on a free port."""
    server = Server()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.complete)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield server
    await runner.cleanup()


@pytest.fixture
async def provider(server: Server) -> AsyncIterator[OpenAIProvider]:
    """A provider that waits a moment only."""
    config = ProviderConfig(
        name="primary",
        kind="openai",
        base_url=server.url,
        models=["small"],
        input_cost_per_million=1.0,
        output_cost_per_million=10.0,
        first_token_timeout_s=0.3,
        idle_timeout_s=0.3,
    )
    provider = OpenAIProvider(config, key="secret")
    yield provider
    await provider.close()


async def ignore(_: str) -> None:
    pass


async def test_text_usage_and_citations_come_from_the_stream(server: Server, provider: OpenAIProvider) -> None:
    """Pieces as they come; cost by the configured prices."""
    pieces: list[str] = []

    async def keep(piece: str) -> None:
        pieces.append(piece)

    written = await provider.write(ORDER, keep)
    assert pieces == PIECES
    assert written.text == "Refunds take 5 days [1]."
    assert [citation.quote for citation in written.citations] == ["Refunds take 5 days."]
    assert (written.usage.input_tokens, written.usage.output_tokens) == (1000, 100)
    assert written.usage.cost == pytest.approx(0.002)
    assert 0 < written.first_token_ms <= written.model_ms
    assert server.requests[0]["model"] == "small"
    assert server.requests[0]["stream"] is True


@pytest.mark.parametrize(
    ("fault", "code", "retryable"),
    [
        ("status", "status", True),
        ("refused", "status", False),
        ("hang", "timeout", True),
        ("stall", "timeout", True),
        ("cut", "cut", True),
        ("malformed", "malformed", True),
    ],
)
async def test_fault_is_an_error_and_never_a_short_answer(
    server: Server, provider: OpenAIProvider, fault: str, code: str, *, retryable: bool
) -> None:
    """A stream that ends early is no answer."""
    server.fault = fault
    with pytest.raises(ProviderError) as failure:
        await provider.write(ORDER, ignore)
    assert (failure.value.code, failure.value.retryable) == (code, retryable)


async def test_missing_usage_is_counted_by_words(server: Server, provider: OpenAIProvider) -> None:
    """Some servers do not report it."""
    server.fault = "no usage"
    written = await provider.write(ORDER, ignore)
    assert written.usage.output_tokens == len(written.text.split())


async def test_unreachable_server_is_a_connection_error() -> None:
    """Nobody listens there."""
    config = ProviderConfig(name="gone", kind="openai", base_url="http://127.0.0.1:1/v1", models=["small"])
    provider = OpenAIProvider(config, key="")
    with pytest.raises(ProviderError) as failure:
        await provider.write(ORDER, ignore)
    assert failure.value.code == "connect"
    await provider.close()


async def test_next_provider_replaces_what_a_cut_stream_has_shown(server: Server, provider: OpenAIProvider) -> None:
    """The customer sees one whole answer; the last resort needs no model."""
    server.fault = "cut"
    sent: list[Delta] = []

    async def send(_: str, delta: Delta) -> None:
        sent.append(delta)

    gateway = Gateway([provider, ExtractiveProvider()], max_concurrency=4, send=send)
    reply = await gateway.complete(ORDER)
    assert isinstance(reply, Completed)
    assert reply.provider == "extractive"
    shown = ""
    for delta in sent:
        shown = delta.text if delta.replace else shown + delta.text
    assert shown == reply.text == "Refunds take 5 days."
    assert sum(delta.replace for delta in sent) == 2


async def test_when_every_provider_fails_the_asker_is_told(server: Server, provider: OpenAIProvider) -> None:
    """With the reason, and whether trying again makes sense."""
    server.fault = "status"

    async def send(_: str, __: Delta) -> None:
        pass

    reply = await Gateway([provider], max_concurrency=4, send=send).complete(ORDER)
    assert isinstance(reply, Refused)
    assert (reply.code, reply.retryable) == ("status", True)
