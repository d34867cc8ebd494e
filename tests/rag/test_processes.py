"""Several knowledge services on one Milvus server: what one takes in, all find; two never write at once.

The server is Milvus Lite's own, in a process of its own behind a port: to the services, an address like any other.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from trunkline_chassis.bus import Bus
from trunkline_protocols import codec, subjects
from trunkline_protocols.knowledge import (
    ArticleFile,
    ArticlesImported,
    ImportArticles,
    KnowledgeReply,
    PassagesFound,
    SearchKnowledge,
)
from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_supervisor.adapters.tcp import free_port

from tests.support.suite import wait_until

pytestmark = pytest.mark.processes
ORDERS = 12


@dataclass
class Service:
    """A running process and its health page."""

    process: subprocess.Popen[bytes]
    port: int

    def page(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as reply:
                return str(reply.read().decode())
        except (urllib.error.URLError, OSError):
            return ""

    def passages(self) -> int:
        found = re.search(r"^trunkline_knowledge_passages (\S+)", self.page("/metrics"), re.MULTILINE)
        return int(float(found[1])) if found else -1


@pytest.fixture
def milvus(tmp_path: Path) -> Iterator[str]:
    """The address of a server."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "milvus_lite",
        "server",
        "--data-dir",
        str(tmp_path / "milvus"),
        "--port",
        str(port),
    ]
    with (tmp_path / "milvus.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        yield f"http://127.0.0.1:{port}"
        server.kill()


def started(number: int, folder: Path, milvus: str, nats_url: str) -> Service:
    """Start one and do not wait."""
    port = free_port()
    settings = {
        "NATS_URL": nats_url,
        "INSTANCE": f"rag-{number}",
        "MILVUS_URI": milvus,
        "HTTP_PORT": str(port),
        "BACKUP_URL": str(folder / "backups"),
    }
    environment = {**os.environ, **{f"TRUNKLINE_{name}": value for name, value in settings.items()}}
    with (folder / f"rag-{number}.log").open("w") as log:
        command = [sys.executable, "-m", "trunkline_rag"]
        return Service(subprocess.Popen(command, env=environment, stdout=log, stderr=log), port)


@pytest.fixture
async def services(tmp_path: Path, milvus: str, nats_url: str, bus: Bus) -> AsyncIterator[list[Service]]:
    """Two of them, started at once on an empty server."""
    del bus  # which has made what they need
    running = [started(number, tmp_path, milvus, nats_url) for number in (1, 2)]
    try:
        for service in running:
            await until(lambda service=service: bool(service.page("/readyz")), "a service is ready")  # type: ignore[misc]
        yield running
    finally:
        for service in running:
            service.process.kill()
            service.process.wait()
        for number in (1, 2):
            print((tmp_path / f"rag-{number}.log").read_text()[-4_000:])


async def asked(bus: Bus, subject: str, request: ImportArticles | SearchKnowledge) -> KnowledgeReply:
    return codec.knowledge_reply.decode(await bus.request(subject, codec.encode(request), timeout_s=60))


async def imported(bus: Bus, *articles: str) -> ArticlesImported:
    files = [ArticleFile(name="a.jsonl", content="\n".join(articles))]
    reply = await asked(bus, subjects.import_articles("local"), ImportArticles(tenant="default", files=files))
    assert isinstance(reply, ArticlesImported), reply
    return reply


def article(id_: str, text: str) -> str:
    return f'{{"id": "{id_}", "title": "T", "content": "{text}"}}'


async def until(condition: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(wait_until, condition, what)


async def test_what_one_process_takes_in_all_find_and_none_overwrites_another(
    services: list[Service], bus: Bus, milvus: str
) -> None:
    """Orders for the same articles at once, wherever they arrive; then one process dies and the other goes on."""
    await imported(bus, *(article(f"d{number}", f"Zeppelin {number}.") for number in range(10)))
    await until(lambda: all(service.passages() == 10 for service in services), "both know ten passages")
    for _ in range(20):
        found = await asked(bus, subjects.search("local"), SearchKnowledge(query="zeppelin 7", tenant="default"))
        assert isinstance(found, PassagesFound)
        assert found.passages[0].document == "d7"

    orders = [
        [article("same", f"Text of order {number}."), article(f"own{number}", f"Balloon {number}.")]
        for number in range(ORDERS)
    ]
    await asyncio.gather(*(imported(bus, *order) for order in orders))
    store = MilvusStore(milvus)
    versions = Counter(version.document.rev for version in store.stock().versions if version.document.id == "same")
    assert versions == dict.fromkeys(range(1, ORDERS + 1), 1)
    rows = store.holdings().rows
    assert Counter(row.document for row in rows) == dict.fromkeys(
        ["same", *(f"own{number}" for number in range(ORDERS)), *(f"d{number}" for number in range(10))], 1
    )
    store.close()
    await until(lambda: all(service.passages() == len(rows) for service in services), "both know all passages")

    services[0].process.send_signal(signal.SIGKILL)
    services[0].process.wait()
    await imported(bus, article("after", "Glider."))
    await until(lambda: services[1].passages() == len(rows) + 1, "the one that is left knows the new passage")
