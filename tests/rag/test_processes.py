"""Several knowledge services on one Milvus server: all find the imports of each, and only one writes at a time.

The server is Milvus Lite's own, in a separate process: to the services, it is an address like any other.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError
from trunkline_protocols import codec, subjects
from trunkline_protocols.knowledge import (
    ArticleFile,
    ArticlesImported,
    ImportArticles,
    KnowledgeReply,
    PassagesFound,
    SearchKnowledge,
)
from trunkline_rag.adapters.kv_change_feed import KvChangeFeed
from trunkline_rag.adapters.kv_write_lock import KvWriteLock
from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_rag.application.knowledge_base import KnowledgeBase
from trunkline_rag.core.articles import Document
from trunkline_rag.core.passage_set import StagedArticle
from trunkline_supervisor.adapters.tcp import free_port

from tests.rag.sample_articles import import_files
from tests.support.parsers import InProcessParser
from tests.support.suite import wait_until

pytestmark = pytest.mark.processes
IMPORTS = 12
_ATTEMPTS = 3


@dataclass
class RagProcess:
    """A running process and its HTTP pages."""

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


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def milvus(tmp_path: Path) -> Iterator[str]:
    """Run a Milvus server and yield its address."""
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
        wait_until(lambda: is_open(port), "Milvus accepts connections")
        yield f"http://127.0.0.1:{port}"
        server.kill()


def start_rag(number: int, folder: Path, milvus: str, nats_url: str) -> RagProcess:
    """Start a process without waiting for it."""
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
        return RagProcess(subprocess.Popen(command, env=environment, stdout=log, stderr=log), port)


@pytest.fixture
async def services(tmp_path: Path, milvus: str, nats_url: str, bus: Bus) -> AsyncIterator[list[RagProcess]]:
    """Start two processes at the same time on an empty server."""
    del bus  # has created the streams
    running = [start_rag(number, tmp_path, milvus, nats_url) for number in (1, 2)]
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


async def request_reply(bus: Bus, subject: str, request: ImportArticles | SearchKnowledge) -> KnowledgeReply:
    """Send the request again without a reply: NATS may have delivered it to a process that has just been killed."""
    for attempt in range(_ATTEMPTS):
        try:
            return codec.knowledge_reply.decode(await bus.request(subject, codec.encode(request), timeout_s=20))
        except BusUnavailableError:
            if attempt + 1 == _ATTEMPTS:
                raise
    raise AssertionError("unreachable")


async def import_lines(bus: Bus, *articles: str) -> ArticlesImported:
    files = [ArticleFile(name="a.jsonl", content="\n".join(articles))]
    reply = await request_reply(bus, subjects.import_articles("local"), ImportArticles(tenant="default", files=files))
    assert isinstance(reply, ArticlesImported), reply
    return reply


def article_line(id_: str, text: str) -> str:
    return f'{{"id": "{id_}", "title": "T", "content": "{text}"}}'


async def until(condition: Callable[[], bool], description: str) -> None:
    await asyncio.to_thread(wait_until, condition, description)


class InterruptedStore(MilvusStore):
    """A store whose process is interrupted after a write has been stored."""

    is_interrupted = False

    def put(self, tenant: str, articles: Sequence[StagedArticle]) -> None:
        super().put(tenant, articles)
        if self.is_interrupted:
            raise OSError("interrupted")


@pytest.mark.parametrize("is_killed", [False, True], ids=["failed", "killed"])
async def test_revisions_are_unique_after_an_interrupted_write_of_another_process(
    bus: Bus, milvus: str, *, is_killed: bool
) -> None:
    """The other process knows the versions since its own write, and nothing was published in between."""
    stores = InterruptedStore(milvus), MilvusStore(milvus)
    first, second = (
        KnowledgeBase(
            store,
            parser=InProcessParser(),
            write_lock=KvWriteLock(bus, f"rag-{number}", heartbeat_timeout_s=1.0),
            changes=KvChangeFeed(bus, f"rag-{number}"),
        )
        for number, store in enumerate(stores)
    )

    def article(text: str) -> list[ArticleFile]:
        return [ArticleFile(name="a.jsonl", content=article_line("same", text))]

    await import_files(first, files=article("One."))
    await import_files(second, files=article("Two."))
    if is_killed:
        await KvWriteLock(bus, "rag-0").acquire()
        stored = StagedArticle(Document("same", "T", "Three.", rev=3), [], None)
        await asyncio.to_thread(stores[0].put, "default", [stored])
    else:
        stores[0].is_interrupted = True
        with pytest.raises(OSError, match="interrupted"):
            await import_files(first, files=article("Three."))
    await import_files(second, files=article("Four."))
    versions = sorted((one.document.rev, one.document.text) for one in stores[1].dump().versions)
    assert versions == [(1, "One."), (2, "Two."), (3, "Three."), (4, "Four.")]
    for store in stores:
        store.close()


async def test_imports_of_one_process_are_found_by_all_and_overwrite_no_other(
    services: list[RagProcess], bus: Bus, milvus: str
) -> None:
    """Concurrent imports of one article reach either process; then one process is killed and the other continues."""
    await import_lines(bus, *(article_line(f"d{number}", f"Zeppelin {number}.") for number in range(10)))
    await until(lambda: all(service.passages() == 10 for service in services), "both have indexed ten passages")
    for _ in range(20):
        found = await request_reply(
            bus, subjects.search("local"), SearchKnowledge(query="zeppelin 7", tenant="default")
        )
        assert isinstance(found, PassagesFound)
        assert found.passages[0].document == "d7"

    imports = [
        [article_line("same", f"Text of import {number}."), article_line(f"own{number}", f"Balloon {number}.")]
        for number in range(IMPORTS)
    ]
    await asyncio.gather(*(import_lines(bus, *lines) for lines in imports))
    store = MilvusStore(milvus)
    versions = Counter(version.document.rev for version in store.dump().versions if version.document.id == "same")
    assert versions == dict.fromkeys(range(1, IMPORTS + 1), 1)
    rows = store.read_passages().rows
    assert Counter(row.document for row in rows) == dict.fromkeys(
        ["same", *(f"own{number}" for number in range(IMPORTS)), *(f"d{number}" for number in range(10))], 1
    )
    store.close()
    await until(lambda: all(service.passages() == len(rows) for service in services), "both have indexed all passages")

    services[0].process.send_signal(signal.SIGKILL)
    services[0].process.wait()
    await import_lines(bus, article_line("after", "Glider."))
    await until(lambda: services[1].passages() == len(rows) + 1, "the survivor has indexed the new passage")
