"""Generators against a small chat server: refusals, late sending, replays, closed sockets, ended processes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from trunkline_cli.bench.load.core.profile import constant
from trunkline_cli.bench.load.core.tally import Tally, tally
from trunkline_cli.bench.load.generator import Generator, open_generator
from trunkline_cli.bench.load.messages import Driven, Ready
from trunkline_cli.bench.load.plan import LoadPlan
from trunkline_cli.bench.load.processes import start_generators
from trunkline_cli.bench.phases import Phases
from trunkline_cli.errors import CommandError
from trunkline_cli.settings import ClientSettings


class ChatServer:
    """Answers every message at once; refuses the first attempts of messages as `refusals` says, by their text."""

    def __init__(self, refusals: dict[str, int] | None = None, *, closes_after: int | None = None) -> None:
        self._refusals = refusals or {}
        self._closes_after = closes_after
        self.texts: dict[str, list[str]] = {}
        """Texts by customer, in the order of their arrival, attempts too."""
        self.sources: Counter[str] = Counter()
        self.ended = 0
        self.url = ""

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("trunkline.v1",))
        await socket.prepare(request)
        self.sources[request.remote or ""] += 1
        start = await socket.receive_json()
        texts = self.texts.setdefault(start["customer"], [])
        await socket.send_json({"type": "started", "conversation": start["customer"], "resume_token": "r", "seq": 1})
        seq = 1
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            frame = message.json()
            if frame["type"] == "end":
                self.ended += 1
                continue
            texts.append(frame["text"])
            if texts.count(frame["text"]) <= self._refusals.get(frame["text"], 0):
                await socket.send_json(_refusal(frame["id"]))
                continue
            for reply in _answer(frame["id"], seq):
                await socket.send_json(reply)
            seq += 2
            if len(texts) == self._closes_after:
                await socket.close(code=1012)
        return socket


def _refusal(id_: str) -> dict[str, Any]:
    return {
        "type": "error",
        "code": "unavailable",
        "message": "no capacity",
        "retryable": True,
        "id": id_,
        "retry_after_s": 0.05,
    }


def _answer(id_: str, seq: int) -> list[dict[str, Any]]:
    names = {"turn": id_, "specialty": "billing", "agent": "a", "citations": [], "in_reply_to": id_}
    return [{"type": "accepted", "id": id_, "seq": seq + 1}, {"type": "message", "seq": seq + 2, "text": "y", **names}]


@asynccontextmanager
async def serving(server: ChatServer) -> AsyncIterator[ChatServer]:
    """Serve on a free port."""
    app = web.Application()
    app.router.add_get("/v1/chat", server.serve)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


def plan(**fields: Any) -> LoadPlan:
    """Return a plan of 20 turns in a second, one conversation by default."""
    given: dict[str, Any] = {"conversations": 1, "phases": constant(20.0, 1.0), "arrivals": "steady", "texts": [["a"]]}
    return LoadPlan(**given | fields)


async def result_of(server: ChatServer, load: LoadPlan, *, late_s: float = 0.0) -> tuple[Generator, Tally]:
    """Run a load, on demand with a start moment in the past."""
    settings = ClientSettings(url=server.url)
    async with open_generator(settings, load) as generator:
        await generator.open()
        await generator.warm_up()
        await generator.drive(time.monotonic() - late_s)
    return generator, tally(generator.records, skipped=generator.skipped, delayed=generator.delayed)


async def test_every_turn_is_sent_and_answered() -> None:
    """Over several conversations and local addresses, each of which is used."""
    async with serving(ChatServer()) as server:
        _, result = await result_of(server, plan(conversations=4, sources=("127.0.0.2", "127.0.0.3")))
    assert server.sources == {"127.0.0.2": 2, "127.0.0.3": 2}
    assert (result.counts.turns, result.counts.answered, result.counts.lost, result.errors) == (20, 20, 0, {})


async def test_late_start_is_in_the_latency() -> None:
    """A generator that sends three seconds late does not hide it."""
    async with serving(ChatServer()) as server:
        _, result = await result_of(server, plan(), late_s=3.0)
    response = result.phases[0].histograms["response"].histogram()
    from_sent = result.phases[0].histograms["response_from_sent"].histogram()
    assert response.count == from_sent.count == 20
    assert response.percentile_ms(1) >= 2_000
    # Each turn was at least two seconds late when it was sent.
    assert response.max_ms - from_sent.max_ms >= 1_000


async def test_refused_messages_are_dropped_or_sent_again() -> None:
    """With the policy `retry` by the same id, until it is accepted or five attempts are used up."""
    async with serving(ChatServer({"a": 1_000})) as server:
        _, dropped = await result_of(server, plan(conversations=20))
    assert (dropped.counts.refused, dropped.counts.lost, dropped.counts.answered) == (20, 0, 0)
    async with serving(ChatServer({"a": 2})) as server:
        _, retried = await result_of(server, plan(conversations=20, on_refusal="retry"))
    assert (retried.counts.refused, retried.counts.answered, retried.errors) == (0, 20, {})
    assert retried.counts.retried == retried.counts.refusals == 40
    async with serving(ChatServer({"a": 1_000})) as server:
        _, exhausted = await result_of(server, plan(conversations=20, on_refusal="retry"))
    assert (exhausted.counts.refused, exhausted.counts.retried) == (20, 80)


async def test_replay_sends_each_conversation_in_order() -> None:
    """Its customer ends it, and the next one begins on another socket; the last begins again with the first."""
    dialogues = [["a1", "a2", "a3"], ["b1"], ["c1", "c2"]]
    async with serving(ChatServer()) as server:
        generator, result = await result_of(server, plan(conversations=2, texts=dialogues, is_replay=True))
    sent = [texts for texts in server.texts.values() if texts]
    assert all(any(dialogue[: len(texts)] == texts for dialogue in dialogues) for texts in sent)
    assert sum(map(len, sent)) == result.counts.turns == result.counts.answered
    assert result.counts.turns + result.counts.skipped == 20
    assert server.ended > 5
    assert generator.replaced >= server.ended - 2
    assert result.errors == {}


async def test_closed_socket_is_an_error_and_the_load_goes_on() -> None:
    """Another conversation takes its place."""
    async with serving(ChatServer(closes_after=5)) as server:
        generator, result = await result_of(server, plan())
    assert result.counts.answered == result.counts.accepted >= 15
    assert result.errors["closed 1012"] == generator.replaced >= 3


async def test_turns_before_the_load_are_not_counted() -> None:
    """Each conversation has them."""
    async with serving(ChatServer()) as server:
        _, result = await result_of(server, plan(conversations=3, warm_up=7))
    assert result.counts.turns == 20
    assert all(len(texts) >= 7 for texts in server.texts.values())
    assert sum(map(len, server.texts.values())) == 20 + 3 * 7


async def test_silent_conversations_stay_open() -> None:
    """Only the active ones send turns, before the load too."""
    async with serving(ChatServer()) as server:
        _, result = await result_of(server, plan(conversations=6, active=2, warm_up=1))
    assert result.counts.answered == 20
    assert sorted(customer for customer, texts in server.texts.items() if texts) == ["bench-0", "bench-1"]
    assert len(server.texts) == 6


async def test_suite_that_refuses_sockets_is_named() -> None:
    """Not a traceback of a task group."""
    settings = ClientSettings(url="http://127.0.0.1:1")
    async with open_generator(settings, plan()) as generator:
        with pytest.raises(CommandError, match=r"cannot open conversation 0 at http://127\.0\.0\.1:1/v1/chat: "):
            await generator.open()


# -- processes ---


async def test_processes_share_a_load() -> None:
    """Opened, warm and begun together; results add up."""
    async with serving(ChatServer()) as server:
        with Phases() as phases:
            async with start_generators(plan(conversations=5, processes=2), phases) as generators:
                await generators.prepare(ClientSettings(url=server.url))
                assert len(server.texts) == 5
                await generators.drive()
                tallies = await generators.finish()
    assert [each.counts.answered for each in tallies] == [10, 10]
    assert all(each.cpu_s > 0 and each.rss_mib > 0 for each in tallies)


@pytest.mark.parametrize("kind", [Ready, Driven])
async def test_process_that_dies_ends_the_load(kind: type[Ready | Driven]) -> None:
    """With an error instead of a wait, before and during the load; the other processes end too."""
    async with serving(ChatServer()) as server:
        with Phases() as phases:
            async with start_generators(
                plan(conversations=4, processes=2, phases=constant(1.0, 600.0)), phases
            ) as all_:
                settings = ClientSettings(url=server.url)
                if kind is Ready:
                    all_._processes[1].kill()
                    acting: Callable[[], Any] = lambda: all_.prepare(settings)  # noqa: E731 - the act of this case
                else:
                    await all_.prepare(settings)
                    asyncio.get_running_loop().call_later(0.7, all_._processes[1].kill)
                    acting = all_.drive
                with pytest.raises(CommandError, match="generator process"):
                    await acting()
    assert [process.returncode for process in all_._processes] == [1, -9]
