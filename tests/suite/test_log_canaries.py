"""No log of a suite holds a secret, a customer's text, an article, a tool's reply or a model's answer.

Every one of them contains a canary, every kind of error is provoked, then everything that the suite wrote to its logs
and to the terminal is searched. `test_connection_canaries.py` has the secrets of connections that fail at the start.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import jwt
import pytest
from aiohttp import web
from trunkline_chassis.bus import connect
from trunkline_protocols import streams, subjects
from trunkline_protocols.ids import ConversationId, conversation_id

from tests.support import live_folder
from tests.support.customer import Customer
from tests.support.model_server import event
from tests.support.suite import AGENTS, Suite, run_cli, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

FLEET: Final = Path(__file__).parents[2] / "fleet"
QUESTION: Final = "I was charged twice for my order, can I get a refund?"
TOOL: Final = """
name = "find-order"
description = "Finds an order"
method = "GET"
url = "{url}/orders/{{order}}"
secret = "shop-key"

[parameters]
type = "object"
required = ["order"]
properties = {{ order = {{ type = "string", maxLength = 40 }} }}
"""


@dataclass
class Canaries:
    """Texts that must not be logged, each named by its place."""

    texts: dict[str, str] = field(default_factory=dict)

    def make(self, place: str) -> str:
        """Return a new canary, long enough to be a secret."""
        return self.texts.setdefault(place, f"canary-{place.replace(' ', '-')}-{secrets.token_hex(16)}")

    def found_in(self, text: str) -> dict[str, str]:
        """Return the canaries in a text with the line of their first occurrence."""
        return {
            place: next(line for line in text.splitlines() if canary in line)[:600]
            for place, canary in self.texts.items()
            if canary in text
        }


@dataclass
class Outside:
    """A model provider, a shop and an embedding service that fail in every way and repeat their input."""

    canaries: Canaries
    completions: int = 0
    url: str = ""

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body: dict[str, Any] = await request.json()
        self.completions += 1
        answer = self.canaries.make("model answer")
        match self.completions % 6:
            case 1:
                return web.Response(status=500, text=f"{answer}: {json.dumps(body['messages'][::-1])}")
            case 2:
                return web.Response(status=400, text=f"{answer}: {json.dumps(body['messages'][::-1])}")
            case _:
                pass
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        results = [message["content"] for message in body["messages"] if message["role"] == "tool"]
        if self.completions % 6 == 3:
            await response.write(b'data: {"choices": "' + answer.encode() + b'"}\n\n')
        elif body.get("tools") and len(results) < 3:
            order = ["gone", answer, "x" * 50 + answer][len(results) % 3]
            name = "find-order" if len(results) < 2 else answer[:60]
            call = {
                "index": 0,
                "id": f"c{len(results)}",
                "function": {"name": name, "arguments": json.dumps({"order": order})},
            }
            await response.write(event({"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}))
        else:
            await response.write(event({"choices": [{"delta": {"content": answer}, "finish_reason": "stop"}]}))
        await response.write(b"data: [DONE]\n\n")
        return response

    async def find(self, request: web.Request) -> web.Response:
        canary = self.canaries.make("tool result")
        if request.match_info["order"] == "gone":
            return web.Response(status=500, text=f"no order {canary}")
        return web.json_response({"status": canary})

    async def embed(self, request: web.Request) -> web.Response:
        return web.Response(status=400, text=f"cannot embed {await request.text()}")


@asynccontextmanager
async def serve(outside: Outside) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", outside.complete)
    app.router.add_post("/embed/embeddings", outside.embed)
    app.router.add_get("/orders/{order}", outside.find)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    outside.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield
    finally:
        await runner.cleanup()


def write_fleet(folder: Path, url: str, canaries: Canaries) -> Path:
    """Write the demo fleet with a tool and an internal article."""
    shutil.copytree(FLEET, folder)
    (folder / "tools").mkdir(exist_ok=True)
    (folder / "tools" / "find-order.toml").write_text(TOOL.format(url=url))
    for file in (folder / "agents" / "billing").glob("*.toml"):
        file.write_text('tools = ["find-order"]\n' + file.read_text())
    article = f"---\ntitle: Refunds, internal\nvisibility: internal\n---\nRefunds: {canaries.make('article')}\n"
    (folder / "knowledge" / "refunds-internal.md").write_text(article)
    return folder


def environment(folder: Path, outside: Outside, fleet: Path) -> dict[str, str]:
    """Return the variables of the suite, every secret of which is a canary."""
    make = outside.canaries.make
    config = folder / "llm.toml"
    config.write_text(
        f'[[provider]]\nname = "m"\nkind = "openai"\nbase_url = "{outside.url}/v1"\nmodels = ["small"]\n'
        'api_key_env = "MODEL_KEY"\n'
    )
    return {
        "TRUNKLINE_FLEET_DIR": str(fleet),
        "TRUNKLINE_LLM_CONFIG": str(config),
        "MODEL_KEY": make("model key"),
        "TRUNKLINE_SECRET_SHOP_KEY": make("tool secret"),
        "TRUNKLINE_SECRET_HOSTS": json.dumps({"shop-key": [outside.url.removeprefix("http://")]}),
        "TRUNKLINE_AUTH_SECRET": make("auth secret"),
        "TRUNKLINE_OPERATOR_TOKEN": make("operator token"),
        "TRUNKLINE_RESUME_SECRET": make("resume secret"),
        "TRUNKLINE_AUDIT_SECRET": make("audit secret"),
        "TRUNKLINE_LOG_LEVEL": "debug",
    }


class LockedSuite(Suite):
    """A suite whose operator's token comes from the environment."""

    @property
    def operator_token(self) -> str:
        return self._environment["TRUNKLINE_OPERATOR_TOKEN"]


class SignedCustomer(Customer):
    """A customer with an access token."""

    def __init__(self, suite: Suite, canaries: Canaries) -> None:
        super().__init__(suite.url, canaries.make("customer"))
        claims = {"sub": self.name, "tenant": "default", "region": "local", "exp": int(time.time()) + 600}
        self.token = jwt.encode(claims, canaries.make("auth secret"), algorithm="HS256")
        canaries.texts["access token"] = self.token

    async def connect(self) -> None:
        if self._session is not None:
            await self._session.close()
        self._session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {self.token}"})
        self.socket = await self._session.ws_connect(
            f"{self._url}/v1/chat", protocols=("trunkline.v1",), max_msg_size=0
        )


def written_by(folder: Path) -> Iterator[Path]:
    """Yield every log of a data folder, by name or by place."""
    for file in live_folder.paths(folder):
        if file.is_file() and (
            file.suffix in {".log", ".stdout", ".stderr"} or "logs" in file.parts or file.name == "log"
        ):
            yield file


async def provoke_errors(suite: Suite, canaries: Canaries, outside: Outside) -> None:
    """Let every process fail while it handles a canary."""
    text = canaries.make("customer text")
    async with SignedCustomer(suite, canaries) as customer:
        await customer.start()
        canaries.texts["resume token"] = customer.resume_token
        for number in range(8):
            await customer.send({"type": "message", "id": f"m{number}", "text": f"{QUESTION} {text} {number}"})
        for frame in (
            {"type": text},
            {"type": "message", "id": text, "text": text},
            {"type": "message", "id": "m1", "text": [text]},
            {"type": "resume", "conversation": text, "resume_token": text, "last_seq": 0},
            {"type": "feedback", "rating": 9, "text": text},
        ):
            await customer.send(frame)
        for instance in AGENTS:
            await asyncio.to_thread(suite.kill, instance)
        async with asyncio.timeout(90):
            while outside.completions < 8:
                await asyncio.sleep(0.1)
        await customer.send({"type": "feedback", "rating": 1, "text": text})
        await destroy(suite, ConversationId(customer.conversation), text)
        await customer.send("not json " + text)
    await call_operators_api(suite, text)


async def destroy(suite: Suite, conversation: ConversationId, text: str) -> None:
    """Publish values that cannot be decoded, or that PostgreSQL refuses, to every stream and bucket."""
    bus = await connect(await asyncio.to_thread(suite.nats_url), "tests")
    quoted = json.dumps(text).encode()
    payloads = (
        quoted,
        b'{"type":%s}' % quoted,
        b'{"type":"turn.received","text":%s,"conversation":"\\ud83d"}' % quoted,
        b'{"type":"turn.received","text":"\\u0000%s"}' % text.encode(),
        b'{"type":"turn.received","text":%s,"seq":1e200000}' % quoted,
        b"\xff" + quoted,
    )
    for payload in payloads:
        for subject in (
            subjects.inbox("local", conversation),
            subjects.inbox("local", conversation_id(secrets.token_hex(12))),
            subjects.work("billing", "normal"),
            subjects.notice("local", "all"),
            f"conv.local.1.{conversation_id(secrets.token_hex(12))}.turn",
            *(f"$KV.{bucket.name}.canary" for bucket in streams.BUCKETS),
            f"$KV.{streams.FLEET.name}.{streams.FLEET_KEY}",
        ):
            await bus.append(subject, payload, message_id=secrets.token_hex(8))
        for subject in (subjects.result("conversation-1"), subjects.complete("local"), subjects.search("local")):
            await bus.publish(subject, payload)
    await bus.close()


async def call_operators_api(suite: Suite, text: str) -> None:
    """Send invalid bodies, forged tokens and articles that cannot be parsed."""
    async with aiohttp.ClientSession(headers=suite.operator_headers) as session:
        for path in ("fleet", "notices", "knowledge/search", "knowledge/import", "desk/next"):
            for body in (text, json.dumps({text: text}), json.dumps({"text": [text], "fleet": text, "files": text})):
                async with session.post(f"{suite.url}/v1/ops/{path}", data=body):
                    pass
        files = [
            {"name": "a.md", "content": f"---\ntitle: [{text}\n---\n{text}"},
            {"name": "b.jsonl", "content": f'{{"id": "{text}"'},
            {"name": "c.md", "content": f"---\ntitle: {text}\nvisibility: {text}\n---\n{text}"},
        ]
        async with session.post(f"{suite.url}/v1/ops/knowledge/import", json={"files": files}):
            pass
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {text}"}) as session:
        for path in ("/v1/ops/status", f"/v1/chat?token={text}", f"/v1/{text}"):
            async with session.get(suite.url + path):
                pass


async def test_no_log_holds_a_canary(tmp_path: Path) -> None:
    """Services, servers and terminal; the drawn secrets of the data folder are canaries too."""
    canaries = Canaries()
    outside = Outside(canaries)
    async with serve(outside):
        fleet = await asyncio.to_thread(write_fleet, tmp_path / "fleet", outside.url, canaries)
        variables = environment(tmp_path, outside, fleet)
        suite = await asyncio.to_thread(LockedSuite, tmp_path / "suite", variables)
        try:
            await provoke_errors(suite, canaries, outside)
            await asyncio.to_thread(run_cli, suite, "fleet", "rollback")
            for instance, event_name in (
                ("conversation-1", "delivery.dead_lettered"),
                ("audit-1", "record.reduced"),
            ):
                logged = partial(is_logged, suite, instance, event_name)
                await asyncio.to_thread(wait_until, logged, f"{instance} has logged {event_name}")
        finally:
            assert await asyncio.to_thread(suite.stop) == 0
    for number, file in enumerate(sorted((suite.data_dir / "secrets").rglob("*"))):
        for line in file.read_text(errors="replace").splitlines() if file.is_file() else ():
            for value in line.replace('"', " ").replace("=", " ").split():
                if len(value) >= 24 and "/" not in value:
                    canaries.texts[f"{file.name}-{number}-{len(canaries.texts)}"] = value
    logs = {file: file.read_text(errors="replace") for file in written_by(suite.data_dir)}
    assert {"supervisor.log", "ingress-1.log", "conversation-1.log", "up.log"} <= {file.name for file in logs}
    text = "\n".join(logs.values())
    assert outside.completions > 3
    for event_name in ("provider.call_failed", "delivery.dead_lettered", "value.undecodable"):
        assert event_name in text, f"{event_name} was not provoked"
    found = {file.name: canaries.found_in(content) for file, content in logs.items()}
    assert {name: places for name, places in found.items() if places} == {}


def is_logged(suite: Suite, instance: str, event_name: str) -> bool:
    return event_name in (suite.data_dir / "logs" / f"{instance}.log").read_text(errors="replace")
