"""Two knowledge services with a folder of Milvus Lite each: one serves, and the other takes over what it had."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError
from trunkline_chassis.presence import PresenceRegistry
from trunkline_protocols import codec, subjects
from trunkline_protocols.knowledge import (
    ArticleFile,
    ArticlesImported,
    ImportArticles,
    KnowledgeReply,
    PassagesFound,
    SearchKnowledge,
)
from trunkline_rag.adapters.kv_lease import KvLease
from trunkline_supervisor.adapters.tcp import free_port

from tests.support.suite import wait_until

pytestmark = pytest.mark.processes
LEASE_S = 3.0


def start(environment: dict[str, str], log_file: Path) -> subprocess.Popen[bytes]:
    with log_file.open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "trunkline_rag"], env=environment, stdout=log, stderr=log)


@asynccontextmanager
async def rag(folder: Path, nats_url: str, place: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Run a process until the block ends; it is up, though it may not serve."""
    port = free_port()
    settings = {
        "NATS_URL": nats_url,
        "INSTANCE": f"rag-{place}",
        "MILVUS_URI": str(folder / place),
        "HTTP_PORT": str(port),
        "BACKUP_URL": str(folder / "backups"),
        "BACKUP_AFTER_CHANGE_S": "0.5",
        "RAG_STANDBY": place,
        "RAG_LEASE_S": str(LEASE_S),
    }
    environment = {**os.environ, **{f"TRUNKLINE_{name}": value for name, value in settings.items()}}

    def is_up() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    process = start(environment, folder / f"{place}.log")
    try:
        await asyncio.to_thread(wait_until, is_up, f"{place} is up")
        yield process
    finally:
        process.kill()
        process.wait()
        print((folder / f"{place}.log").read_text()[-4_000:])


async def ask(bus: Bus, subject: str, request: ImportArticles | SearchKnowledge) -> KnowledgeReply | None:
    """Return the reply, None if no process serves."""
    try:
        return codec.knowledge_reply.decode(await bus.request(subject, codec.encode(request), timeout_s=20))
    except BusUnavailableError:
        return None


async def articles_about(bus: Bus, query: str) -> list[str] | None:
    """Return the found articles, None if no process serves."""
    request = SearchKnowledge(tenant="default", query=query, region="local", language="en")
    reply = await ask(bus, subjects.search("local"), request)
    assert reply is None or isinstance(reply, PassagesFound), reply
    return None if reply is None else [passage.document for passage in reply.passages]


async def until_found(bus: Bus, query: str, document: str) -> None:
    async with asyncio.timeout(60):
        while await articles_about(bus, query) != [document]:
            await asyncio.sleep(0.2)


async def until_saved(folder: Path, *, articles: int) -> None:
    def is_saved() -> bool:
        manifests = [msgspec.json.decode(each.read_bytes()) for each in folder.glob("backups/manifests/*Z-*")]
        return any(manifest["articles"] == articles for manifest in manifests)

    await asyncio.to_thread(wait_until, is_saved, f"a backup of {articles} articles")


async def import_article(bus: Bus, document: str, text: str) -> None:
    line = f'{{"id": "{document}", "title": "T", "content": "{text}"}}'
    request = ImportArticles(tenant="default", files=[ArticleFile(name="a.jsonl", content=line)])
    assert isinstance(await ask(bus, subjects.import_articles("local"), request), ArticlesImported)


async def test_standby_serves_the_last_backup_after_the_loss_and_the_lost_one_stands_by(
    bus: Bus, nats_url: str, tmp_path: Path
) -> None:
    """An article that only the lost one had imported is found, and so is a later one after the way back."""
    presences = PresenceRegistry()
    await presences.watch(bus)

    async def until_state(place: str, state: str) -> None:
        async with asyncio.timeout(30):
            while [each.state for each in presences.alive() if each.instance == f"rag-{place}"] != [state]:
                await asyncio.sleep(0.1)

    async with rag(tmp_path, nats_url, "next") as second:
        await until_state("next", "standby")
        assert await articles_about(bus, "battery") is None, "it has taken a lease that no process has held"
        async with rag(tmp_path, nats_url, "first") as first:
            await until_state("first", "ready")
            await import_article(bus, "batteries", "The remote takes two batteries.")
            await until_found(bus, "batteries", "batteries")
            await until_saved(tmp_path, articles=1)
            assert second.poll() is None
            first.kill()
            first.wait()
            await until_state("next", "ready")
            await until_found(bus, "batteries", "batteries")
        await import_article(bus, "filters", "Wash the filter once a month.")
        async with rag(tmp_path, nats_url, "first") as first:
            await until_state("first", "standby")
            await until_found(bus, "filter", "filters")
            await until_saved(tmp_path, articles=2)
            # Frozen for longer than the lease: the other one serves, and this one ends when it thaws.
            second.send_signal(signal.SIGSTOP)
            await until_state("first", "ready")
            await until_found(bus, "filter", "filters")
            second.send_signal(signal.SIGCONT)
            await asyncio.to_thread(second.wait, 30)
            assert second.returncode != 0
            await until_found(bus, "batteries", "batteries")


async def test_restarted_holder_keeps_its_content_and_another_one_has_to_restore(bus: Bus) -> None:
    """Also if the holder before it was killed before it had restored the backup."""

    def lease(instance: str) -> KvLease:
        return KvLease(bus, instance, is_first=True, timeout_s=0.5)

    async with lease("rag-a").held() as has_content:
        # A lease that was never held, or the one of the test before.
        first = has_content
    async with lease("rag-a").held() as has_content:
        assert has_content is first
    other = lease("rag-b")
    async with other.held() as has_content:
        assert not has_content
    async with lease("rag-b").held() as has_content:
        assert not has_content, "it was killed before it had restored"
        other = lease("rag-b")
    async with other.held():
        other.confirm()
        await asyncio.sleep(0.5)
    async with lease("rag-b").held() as has_content:
        assert has_content
    async with lease("rag-a").held() as has_content:
        assert not has_content
