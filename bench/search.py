"""What a search costs in the knowledge service itself: asked over NATS, under a steady load; and how it comes back.

Starts a nats-server and one `rag` process, fills it with articles put together from the paragraphs of a documents
file, and asks it the texts of a queries file:

    python bench/search.py --documents tau_banking.documents.jsonl --queries banking77.train.jsonl --passages 10000

Then it kills the process with -9 in the middle of an import and starts it again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import psutil
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.errors import BusError
from trunkline_chassis.provision import provision
from trunkline_protocols import codec, subjects
from trunkline_protocols.knowledge import (
    ArticleFile,
    ArticlesImported,
    ImportArticles,
    KnowledgeRequest,
    PassagesFound,
    SearchKnowledge,
)
from trunkline_supervisor.adapters.nats_server import NatsNode, nats_server_command
from trunkline_supervisor.adapters.tcp import free_port

_TENANT: Final = "bench"
_PARAGRAPHS: Final = 6
_ARTICLES_AN_ORDER: Final = 250
_IMPORT_TIMEOUT_S: Final = 1_200.0
_SEARCH_TIMEOUT_S: Final = 10.0
_START_TIMEOUT_S: Final = 300.0
_WARM: Final = 200

A = TypeVar("A")


class Articles:
    """Articles without end, each of paragraphs drawn from those of real ones."""

    def __init__(self, documents: Path, seed: int) -> None:
        """`documents`: JSON Lines with `title` and `content`."""
        read = [json.loads(line) for line in documents.read_text(encoding="utf-8").splitlines() if line.strip()]
        self._titles = [row["title"] for row in read]
        self._paragraphs = [part for row in read for part in row["content"].split("\n\n") if len(part) > 80]  # noqa: PLR2004 - no headings
        self._draw = random.Random(seed)  # noqa: S311 - a figure, not a secret
        self._made = 0

    def make(self, count: int) -> ArticleFile:
        """Put so many articles into one file."""
        lines = []
        for _ in range(count):
            self._made += 1
            text = "\n\n".join(self._draw.sample(self._paragraphs, _PARAGRAPHS))
            title = f"{self._draw.choice(self._titles)} {self._made}"
            lines.append(json.dumps({"id": f"a{self._made}", "title": title, "content": text}))
        return ArticleFile(name=f"articles-{self._made}.jsonl", content="\n".join(lines))


@dataclass(frozen=True, slots=True)
class Rag:
    """A running knowledge service."""

    process: psutil.Process
    log: Path

    def cpu_s(self) -> float:
        """User and system time so far."""
        used = self.process.cpu_times()
        return float(used.user + used.system)

    def opened_ms(self) -> float:
        """How long it took to open the store, read it and make the index at the start."""
        lines = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
        return sum(
            next(float(line["took_ms"]) for line in lines if line["event"] == event)
            for event in ("store.open", "library.open")
        )


@contextlib.contextmanager
def nats_server(folder: Path) -> Iterator[str]:
    """Run a nats-server of the bench's own."""
    node = NatsNode("nats-1", folder, free_port(), free_port())
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(nats_server_command(node), stdout=log, stderr=log)
        try:
            yield node.url
        finally:
            server.terminate()
            server.wait(10)


@contextlib.asynccontextmanager
async def rag(bus: Bus, folder: Path, url: str, embedder: str, number: int) -> AsyncIterator[Rag]:
    """Run the knowledge service until the end of the block, from the moment when it answers."""
    log = folder / f"rag-{number}.log"
    environment = os.environ | {
        "TRUNKLINE_NATS_URL": url,
        "TRUNKLINE_INSTANCE": f"rag-{number}",
        "TRUNKLINE_HTTP_PORT": "0",
        "TRUNKLINE_LOG_FORMAT": "json",
        "TRUNKLINE_MILVUS_URI": str(folder / "milvus"),
        "TRUNKLINE_BACKUP_EVERY_H": "0",
        "TRUNKLINE_EMBEDDER": embedder,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    with log.open("w") as output:
        command = [sys.executable, "-m", "trunkline_rag"]
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=output, stderr=output)
        try:
            await _answers(bus)
            yield Rag(psutil.Process(process.pid), log)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            await process.wait()


async def _answers(bus: Bus) -> None:
    async with asyncio.timeout(_START_TIMEOUT_S):
        while True:
            try:
                await search(bus, "hello")
            except BusError:
                await asyncio.sleep(0.05)
            else:
                return


async def ask(bus: Bus, subject: str, request: KnowledgeRequest, answer: type[A], timeout_s: float) -> A:
    """Ask the service; anything but this kind of answer is an error."""
    reply = codec.knowledge_reply.decode(await bus.request(subject, codec.encode(request), timeout_s=timeout_s))
    if not isinstance(reply, answer):
        raise TypeError(f"{request} was answered by {reply}")
    return reply


async def search(bus: Bus, query: str) -> float:
    """Search; returns milliseconds from asking to the answer."""
    started = time.perf_counter()
    question = SearchKnowledge(query=query, tenant=_TENANT)
    await ask(bus, subjects.search("local"), question, PassagesFound, _SEARCH_TIMEOUT_S)
    return (time.perf_counter() - started) * 1000


async def import_articles(bus: Bus, articles: Articles, passages: int) -> dict[str, float]:
    """Import until there are so many passages."""
    started, taken = time.perf_counter(), 0
    while taken < passages:
        done = await _import(bus, articles, more=True)
        taken += done.passages
    await _import(bus, articles, more=False)
    return {"passages": taken, "import_s": round(time.perf_counter() - started, 2)}


async def _import(bus: Bus, articles: Articles, *, more: bool) -> ArticlesImported:
    order = ImportArticles(tenant=_TENANT, files=[articles.make(_ARTICLES_AN_ORDER)], source="bench", more=more)
    return await ask(bus, subjects.import_articles("local"), order, ArticlesImported, _IMPORT_TIMEOUT_S)


async def steady(bus: Bus, service: Rag, queries: Sequence[str], rate: float, draw: random.Random) -> dict[str, float]:
    """Ask at a rate, whatever comes back; arrivals are a Poisson process."""
    loop = asyncio.get_running_loop()
    cpu, due = service.cpu_s(), loop.time()
    running = []
    for query in queries:
        due += draw.expovariate(rate)
        await asyncio.sleep(max(0.0, due - loop.time()))
        running.append(asyncio.create_task(search(bus, query)))
    return {"rate": rate} | _figures(await asyncio.gather(*running), service.cpu_s() - cpu)


async def at_most(bus: Bus, service: Rag, queries: Sequence[str], askers: int) -> dict[str, float]:
    """Ask as fast as answers come, by so many at a time."""
    waiting, took = list(queries), []

    async def asker() -> None:
        while waiting:
            took.append(await search(bus, waiting.pop()))

    cpu, started = service.cpu_s(), time.perf_counter()
    await asyncio.gather(*(asker() for _ in range(askers)))
    figures = _figures(took, service.cpu_s() - cpu)
    return figures | {"searches_per_s": round(len(took) / (time.perf_counter() - started), 1)}


def _figures(took_ms: Sequence[float], cpu_s: float) -> dict[str, float]:
    p50, p95, p99 = np.percentile(took_ms, [50, 95, 99])
    return {
        "searches": len(took_ms),
        "p50_ms": round(float(p50), 2),
        "p95_ms": round(float(p95), 2),
        "p99_ms": round(float(p99), 2),
        "cpu_ms": round(cpu_s * 1000 / len(took_ms), 3),
        "searches_per_s_and_core": round(len(took_ms) / cpu_s, 1),
    }


async def killed(bus: Bus, service: Rag, articles: Articles) -> None:
    """Kill it in the middle of an import."""
    order = asyncio.create_task(_import(bus, articles, more=True))
    await asyncio.sleep(0.1)
    service.process.kill()
    order.cancel()
    await asyncio.wait({order})


async def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Measure, in a folder of its own."""
    draw = random.Random(asked.seed)  # noqa: S311 - a figure, not a secret
    articles = Articles(asked.documents, asked.seed)
    texts = [json.loads(line)["text"] for line in asked.queries.read_text(encoding="utf-8").splitlines() if line]
    draw.shuffle(texts)
    new, texts = texts[: asked.searches], texts[asked.searches :]
    with tempfile.TemporaryDirectory(prefix="trunkline-search-") as place, nats_server(folder := Path(place)) as url:
        bus = await connect(url, "bench")
        await provision(bus, region="local", specialties=[], replicas=1)
        async with rag(bus, folder, url, asked.embedder, 1) as service:
            figures: dict[str, Any] = {"embedder": asked.embedder} | await import_articles(
                bus, articles, asked.passages
            )
            for text in texts[:_WARM]:
                await search(bus, text)
            figures["steady"] = await steady(bus, service, new, asked.rate, draw)
            figures["steady_asked_before"] = await steady(bus, service, new, asked.rate, draw)
            figures["at_most_new"] = await at_most(bus, service, texts[_WARM:][: asked.searches], asked.askers)
            figures["at_most"] = await at_most(bus, service, new, asked.askers)
            figures["rss_mib"] = round(service.process.memory_info().rss / 2**20)
            await killed(bus, service, articles)
        started = time.perf_counter()
        async with rag(bus, folder, url, asked.embedder, 2) as service:
            figures["after_kill"] = {
                "store_and_index_ms": service.opened_ms(),
                "until_it_answers_ms": round((time.perf_counter() - started) * 1000),
            }
        await bus.close()
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=Path, required=True, help="JSON Lines with `title` and `content`")
    parser.add_argument("--queries", type=Path, required=True, help="JSON Lines with `text`")
    parser.add_argument("--passages", type=int, default=10_000)
    parser.add_argument("--embedder", default="lexical", help="lexical, or minilm:DIR")
    parser.add_argument("--rate", type=float, default=100.0, help="searches a second")
    parser.add_argument("--searches", type=int, default=2_000)
    parser.add_argument("--askers", type=int, default=4, help="how many ask at a time when asking as fast as possible")
    parser.add_argument("--seed", type=int, default=1)
    print(json.dumps(asyncio.run(run(parser.parse_args()))))
