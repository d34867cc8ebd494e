"""Hostile files against a running knowledge service: they are reported, searches are answered, memory stays bounded."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
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
from trunkline_supervisor.adapters.tcp import free_port

from tests.support.parser_bombs import ALIASES, BOMBS, harmless
from tests.support.suite import wait_until

pytestmark = pytest.mark.processes
MAX_MEMORY = 300 * 1024 * 1024


class RagService:
    """A running service with its own Milvus Lite."""

    def __init__(self, bus: Bus, process: psutil.Process, log: Path) -> None:
        self.bus = bus
        self.process = process
        self.log = log

    async def request(self, subject: str, request: ImportArticles | SearchKnowledge) -> KnowledgeReply:
        return codec.knowledge_reply.decode(await self.bus.request(subject, codec.encode(request), timeout_s=60))

    async def import_files(self, *files: ArticleFile) -> ArticlesImported:
        reply = await self.request(
            subjects.import_articles("local"), ImportArticles(tenant="default", files=list(files))
        )
        assert isinstance(reply, ArticlesImported), reply
        return reply

    async def found(self, query: str) -> set[str]:
        reply = await self.request(subjects.search("local"), SearchKnowledge(query=query, tenant="default"))
        assert isinstance(reply, PassagesFound), reply
        return {passage.document for passage in reply.passages}

    def memory(self) -> int:
        """Return the resident memory of the service and of its parser."""
        total = 0
        for process in (self.process, *self.process.children()):
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total


def started(folder: Path, nats_url: str, knowledge: Path, port: int) -> subprocess.Popen[bytes]:
    settings = {
        "NATS_URL": nats_url,
        "INSTANCE": "rag-1",
        "MILVUS_URI": str(folder / "milvus"),
        "KNOWLEDGE_DIR": str(knowledge),
        "HTTP_PORT": str(port),
        "BACKUP_URL": str(folder / "backups"),
    }
    environment = {**os.environ, **{f"TRUNKLINE_{name}": value for name, value in settings.items()}}
    with (folder / "rag.log").open("w") as log:
        return subprocess.Popen([sys.executable, "-m", "trunkline_rag"], env=environment, stdout=log, stderr=log)


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture
async def service(tmp_path: Path, nats_url: str, bus: Bus) -> AsyncIterator[RagService]:
    """Start a service on a folder with two public articles, an internal one and files that cannot be imported."""
    knowledge = tmp_path / "knowledge"
    knowledge.mkdir()
    (knowledge / "parcels.md").write_text("---\nid: parcels\n---\nA parcel takes five days.")
    (knowledge / ALIASES.name).write_text(ALIASES.content)
    (knowledge / "date.md").write_text("---\nid: date\nupdated: 2026-02-30\n---\nText.")
    (knowledge / "marked.md").write_text("\ufeff---\nid: marked\nvisibility: internal\n---\nA parcel is insured.")
    for folder in ("..2026_11_27", "returns"):
        (knowledge / folder).mkdir()
        (knowledge / folder / "parcels.md").write_text(f"A parcel of {folder} takes nine days.")
    (knowledge / "latin.md").write_bytes("---\nid: latin\n---\nEin Päckchen.".encode("latin-1"))
    (knowledge / "false.pdf").write_bytes(b"<html>Not found</html>")
    (knowledge / "missing.md").symlink_to(tmp_path / "nowhere")
    os.mkfifo(knowledge / "pipe.md")
    (knowledge / "folder.md").mkdir()
    port = free_port()
    process = started(tmp_path, nats_url, knowledge, port)
    try:
        await asyncio.to_thread(wait_until, lambda: is_ready(port), "the service is ready")
        yield RagService(bus, psutil.Process(process.pid), tmp_path / "rag.log")
    finally:
        process.kill()
        process.wait()
        print((tmp_path / "rag.log").read_text()[-4_000:])


async def test_searches_are_answered_during_an_import_of_bombs(service: RagService) -> None:
    """The bombs are reported by name; the files around them are found; memory grows by less than 300 MB."""
    before = service.memory()
    importing = asyncio.ensure_future(service.import_files(harmless("first"), *BOMBS, harmless("last")))
    searches, peak = 0, 0
    while not importing.done():
        assert "parcels" in await asyncio.wait_for(service.found("parcel"), 5)
        searches += 1
        peak = max(peak, service.memory())
        await asyncio.sleep(0.05)
    imported = await importing
    assert sorted(problem.name for problem in imported.problems) == sorted(bomb.name for bomb in BOMBS)
    assert imported.documents == 2
    assert {"first", "last"} <= await service.found("parcel")
    assert searches > 3
    print(f"memory before {before >> 20} MiB, peak {peak >> 20} MiB, {searches} searches")
    assert peak - before < MAX_MEMORY


async def test_service_starts_on_a_folder_with_unreadable_files(service: RagService) -> None:
    """Each is logged by name."""
    log = service.log.read_text()
    for name in (ALIASES.name, "date.md", "missing.md", "pipe.md", "latin.md", "false.pdf"):
        assert name in log
    assert "folder.md" not in log
    assert "2026_11_27" not in log
    assert await service.found("parcel") == {"parcels", "returns--parcels"}
