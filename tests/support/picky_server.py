"""A model server that refuses what it does not know, and differs from its API in configurable ways."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from tests.support.http_server import serve_http
from tests.support.raw_model_server import call, calls, choice, events, finish, text, usage

GREETING = "Hello, how can I help?"


@dataclass
class PickyServer:
    """Accepts requests of one form, and answers them like a model."""

    refused: frozenset[str] = frozenset()
    """Fields that are refused with status 422."""
    usage: Literal["always", "requested", "never"] = "requested"
    has_finish_reason: bool = True
    thoughts: Literal["", "prefilled", "tags", "field"] = ""
    min_tokens: int = 0
    """Limit of tokens below which all of them are used for thoughts."""
    tools: Literal["called", "ignored", "refused"] = "called"
    short_ids: bool = False
    continues: Literal["", "prefill", "vllm", "mistral"] = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.requests.append(body)
        refusal = self._refusal(body)
        if refusal:
            return web.json_response({"detail": refusal}, status=422)
        return web.Response(body=b"".join(events(*self._chunks(body))), content_type="text/event-stream")

    def _refusal(self, body: dict[str, Any]) -> str:
        unknown = sorted(self.refused & body.keys())
        if unknown:
            return f"extra fields: {unknown}"
        if "tools" in body and self.tools == "refused":
            return "no tools"
        ids = [message["tool_call_id"] for message in body["messages"] if message["role"] == "tool"]
        if self.short_ids and any(len(id_) != 9 for id_ in ids):
            return "ids must have nine characters"
        return ""

    def _chunks(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        wants_call = "tools" in body and self.tools == "called" and body["messages"][-1]["role"] != "tool"
        if wants_call:
            content = [calls(call("get_weather", '{"city": "Paris"}', index=0, id="abcdefghi"))]
        else:
            content = self._thoughts() + ([text(self._text(body))] if self._has_room(body) else [])
        ends = [finish("tool_calls" if wants_call else "stop")] if self.has_finish_reason else []
        is_reported = self.usage == "always" or (self.usage == "requested" and "stream_options" in body)
        return [*content, *ends, *([usage()] if is_reported else [])]

    def _has_room(self, body: dict[str, Any]) -> bool:
        return int(body.get("max_tokens") or body.get("max_completion_tokens") or 0) >= self.min_tokens

    def _thoughts(self) -> list[dict[str, Any]]:
        match self.thoughts:
            case "prefilled":
                return [text("They greet."), text("</think>\n")]
            case "tags":
                return [text("<think>They greet.</think>\n")]
            case "field":
                return [choice(delta={"reasoning_content": "They greet."})]
            case _:
                return []

    def _text(self, body: dict[str, Any]) -> str:
        last = body["messages"][-1]
        if last["role"] != "assistant":
            return GREETING
        given = "vllm" if body.get("continue_final_message") else "mistral" if last.get("prefix") else "prefill"
        return " four, five, six" if given == self.continues else "one, two, three, four, five, six"


@asynccontextmanager
async def serve_picky(server: PickyServer) -> AsyncIterator[PickyServer]:
    """Run the server on a free port."""
    async with serve_http([web.post("/v1/chat/completions", server.answer)], cancels_handlers=False) as url:
        server.url = f"{url}/v1"
        yield server
