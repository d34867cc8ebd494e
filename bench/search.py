"""Cost of a search in the knowledge service, over NATS and under a steady load, and its recovery after a kill.

Starts a nats-server and one `rag` process, imports articles that are composed of the paragraphs of a documents file,
and searches for the texts of a queries file:

    python -m bench.search --documents tau_banking.documents.jsonl --queries banking77.train.jsonl --passages 10000

Then it kills the process with SIGKILL during an import and starts it again.
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
_ARTICLES_PER_IMPORT: Final = 250
_IMPORT_TIMEOUT_S: Final = 1_200.0
_SEARCH_TIMEOUT_S: Final = 10.0
_START_TIMEOUT_S: Final = 300.0
_WARM_UP_SEARCHES: Final = 200

R = TypeVar("R")


class ArticleGenerator:
    """Generates articles, each a random sample of the paragraphs of real ones."""

    def __init__(self, documents: Path, seed: int) -> None:
        """Read `documents`, JSON Lines with `title` and `content`."""
        read = [json.loads(line) for line in documents.read_text(encoding="utf-8").splitlines() if line.strip()]
        self._titles = [row["title"] for row in read]
        self._paragraphs = [part for row in read for part in row["content"].split("\n\n") if len(part) > 80]  # noqa: PLR2004 - not headings
        self._rng = random.Random(seed)  # noqa: S311 - a figure, not a secret
        self._count = 0

    def make(self, count: int) -> ArticleFile:
        """Return a file of `count` new articles."""
        lines = []
        for _ in range(count):
            self._count += 1
            text = "\n\n".join(self._rng.sample(self._paragraphs, _PARAGRAPHS))
            title = f"{self._rng.choice(self._titles)} {self._count}"
            lines.append(json.dumps({"id": f"a{self._count}", "title": title, "content": text}))
        return ArticleFile(name=f"articles-{self._count}.jsonl", content="\n".join(lines))


@dataclass(frozen=True, slots=True)
class RagProcess:
    """A running knowledge service."""

    process: psutil.Process
    log: Path

    def cpu_s(self) -> float:
        """Return user and system time so far, in seconds."""
        used = self.process.cpu_times()
        return float(used.user + used.system)

    def start_ms(self) -> float:
        """Return the time to open the store, read it and build the index at the start."""
        lines = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
        return sum(
            next(float(line["took_ms"]) for line in lines if line["event"] == event)
            for event in ("store.opened", "index.loaded")
        )


@contextlib.contextmanager
def nats_server(folder: Path) -> Iterator[str]:
    """Run a private nats-server and yield its URL."""
    node = NatsNode("nats-1", folder, free_port())
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(nats_server_command(node), stdout=log, stderr=log)
        try:
            yield node.url
        finally:
            server.terminate()
            server.wait(10)


@contextlib.asynccontextmanager
async def rag(bus: Bus, folder: Path, url: str, embedder: str, number: int) -> AsyncIterator[RagProcess]:
    """Run the knowledge service for the block, which starts when it answers."""
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
            await _wait_until_ready(bus)
            yield RagProcess(psutil.Process(process.pid), log)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            await process.wait()


async def _wait_until_ready(bus: Bus) -> None:
    async with asyncio.timeout(_START_TIMEOUT_S):
        while True:
            try:
                await search(bus, "hello")
            except BusError:
                await asyncio.sleep(0.05)
            else:
                return


async def request_reply(bus: Bus, subject: str, request: KnowledgeRequest, expected: type[R], timeout_s: float) -> R:
    """Send a request; raise `TypeError` for a reply of another type."""
    reply = codec.knowledge_reply.decode(await bus.request(subject, codec.encode(request), timeout_s=timeout_s))
    if not isinstance(reply, expected):
        raise TypeError(f"{request} was answered by {reply}")
    return reply


async def search(bus: Bus, query: str) -> float:
    """Search and return the response time in milliseconds."""
    started = time.perf_counter()
    question = SearchKnowledge(query=query, tenant=_TENANT)
    await request_reply(bus, subjects.search("local"), question, PassagesFound, _SEARCH_TIMEOUT_S)
    return (time.perf_counter() - started) * 1000


async def import_articles(bus: Bus, articles: ArticleGenerator, passages: int) -> dict[str, float]:
    """Import until at least `passages` are stored."""
    started, imported = time.perf_counter(), 0
    while imported < passages:
        done = await _import(bus, articles, more=True)
        imported += done.passages
    await _import(bus, articles, more=False)
    return {"passages": imported, "import_s": round(time.perf_counter() - started, 2)}


async def _import(bus: Bus, articles: ArticleGenerator, *, more: bool) -> ArticlesImported:
    request = ImportArticles(tenant=_TENANT, files=[articles.make(_ARTICLES_PER_IMPORT)], source="bench", more=more)
    return await request_reply(bus, subjects.import_articles("local"), request, ArticlesImported, _IMPORT_TIMEOUT_S)


async def steady(
    bus: Bus, service: RagProcess, queries: Sequence[str], rate: float, rng: random.Random
) -> dict[str, float]:
    """Search at a fixed rate, open loop; arrivals are a Poisson process."""
    loop = asyncio.get_running_loop()
    cpu, due = service.cpu_s(), loop.time()
    running = []
    for query in queries:
        due += rng.expovariate(rate)
        await asyncio.sleep(max(0.0, due - loop.time()))
        running.append(asyncio.create_task(search(bus, query)))
    return {"rate": rate} | _figures(await asyncio.gather(*running), service.cpu_s() - cpu)


async def saturated(bus: Bus, service: RagProcess, queries: Sequence[str], clients: int) -> dict[str, float]:
    """Search in a closed loop of `clients` concurrent clients."""
    pending, took = list(queries), []

    async def client() -> None:
        while pending:
            took.append(await search(bus, pending.pop()))

    cpu, started = service.cpu_s(), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
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


async def kill_during_import(bus: Bus, service: RagProcess, articles: ArticleGenerator) -> None:
    """Kill the process during an import."""
    importing = asyncio.create_task(_import(bus, articles, more=True))
    await asyncio.sleep(0.1)
    service.process.kill()
    importing.cancel()
    await asyncio.wait({importing})


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure in a temporary folder."""
    rng = random.Random(options.seed)  # noqa: S311 - a figure, not a secret
    articles = ArticleGenerator(options.documents, options.seed)
    texts = [json.loads(line)["text"] for line in options.queries.read_text(encoding="utf-8").splitlines() if line]
    rng.shuffle(texts)
    new, texts = texts[: options.searches], texts[options.searches :]
    with tempfile.TemporaryDirectory(prefix="trunkline-search-") as name, nats_server(folder := Path(name)) as url:
        bus = await connect(url, "bench")
        await provision(bus, region="local", specialties=[], replicas=1)
        async with rag(bus, folder, url, options.embedder, 1) as service:
            figures: dict[str, Any] = {"embedder": options.embedder} | await import_articles(
                bus, articles, options.passages
            )
            for text in texts[:_WARM_UP_SEARCHES]:
                await search(bus, text)
            figures["steady"] = await steady(bus, service, new, options.rate, rng)
            figures["steady_repeated"] = await steady(bus, service, new, options.rate, rng)
            figures["saturated_new"] = await saturated(
                bus, service, texts[_WARM_UP_SEARCHES:][: options.searches], options.clients
            )
            figures["saturated_repeated"] = await saturated(bus, service, new, options.clients)
            figures["rss_mib"] = round(service.process.memory_info().rss / 2**20)
            await kill_during_import(bus, service, articles)
        started = time.perf_counter()
        async with rag(bus, folder, url, options.embedder, 2) as service:
            figures["after_kill"] = {
                "store_and_index_ms": service.start_ms(),
                "until_ready_ms": round((time.perf_counter() - started) * 1000),
            }
        await bus.close()
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=Path, required=True, help="JSON Lines with `title` and `content`")
    parser.add_argument("--queries", type=Path, required=True, help="JSON Lines with `text`")
    parser.add_argument("--passages", type=int, default=10_000)
    parser.add_argument("--embedder", default="lexical", help="lexical, or minilm:DIR")
    parser.add_argument("--rate", type=float, default=100.0, help="searches per second")
    parser.add_argument("--searches", type=int, default=2_000)
    parser.add_argument("--clients", type=int, default=4, help="concurrent clients of the closed loop")
    parser.add_argument("--seed", type=int, default=1)
    print(json.dumps(asyncio.run(run(parser.parse_args()))))
