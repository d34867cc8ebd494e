"""Two regions, a thousand attempts to move data of one into the other: none succeeds, each is recorded and counted."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from aiohttp import web
from trunkline_chassis.bus import Bus
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.residency import ResidencyViolated

from tests.suite import residency_attempts as attempts
from tests.suite.residency_attempts import SECRET, WORDS, Target, attacking
from tests.support.http_server import serve_http
from tests.support.suite import Suite, run_cli

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

REGIONS = ("eu", "us")
MODELS = """
[[provider]]
name = "abroad"
kind = "openai"
base_url = "{url}"
models = ["m"]
region = "{other}"

[[provider]]
name = "quotes"
kind = "extractive"

[[route]]
name = "away"
providers = ["abroad"]
"""
_SAMPLE = re.compile(r'^trunkline_residency_violations_total\{border="(\w+)"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True)
class Abroad:
    """A server outside of both suites, which must receive nothing."""

    received: list[str]
    url: str


@pytest.fixture
async def abroad() -> AsyncIterator[Abroad]:
    """Serve any path."""
    received: list[str] = []

    async def on_request(request: web.Request) -> web.Response:
        received.append(request.path)
        return web.Response(status=500)

    async with serve_http([web.route("*", "/{path:.*}", on_request)]) as url:
        yield Abroad(received, url)


@dataclass(frozen=True)
class Region:
    """One suite, and the key of an operator of the other region, in its key file."""

    suite: Suite
    foreign_key: str
    backup: str


def start(folder: Path, region: str, other: str, url: str) -> tuple[Suite, str]:
    """Start the suite of a region; both share the secret of resume tokens and the place of backups."""
    folder.mkdir()
    models = folder / "llm.toml"
    models.write_text(MODELS.format(url=f"{url}/v1", other=other))
    key = attempts.write_key(folder / "operators.toml", other)
    environment = {
        "TRUNKLINE_REGION": region,
        "TRUNKLINE_RESUME_SECRET": SECRET,
        "TRUNKLINE_BACKUP_URL": str(folder / "backups"),
        "TRUNKLINE_OPERATOR_KEYS": str(folder / "operators.toml"),
        "TRUNKLINE_LLM_CONFIG": str(models),
        "TRUNKLINE_INGRESS_PROCESSES_MIN": "1",
        "TRUNKLINE_EDGE_UNLIMITED": "127.0.0.0/8",
    }
    return Suite(folder / "data", environment), key


async def recorded(bus: Bus, region: str) -> list[ResidencyViolated]:
    """Return the records of a region."""
    stored = await bus.read_messages(streams.VIOLATIONS.name, subjects.violation_any(region))
    return [codec.violation.decode(message.payload) for message in stored]


async def counted(bus: Bus) -> Counter[str]:
    """Return the refusals that the processes of a suite have counted, by border."""
    found: Counter[str] = Counter()
    async with aiohttp.ClientSession() as session:
        for stored in await bus.read_messages(f"KV_{streams.PRESENCE.name}", subjects.PRESENCES):
            presence = codec.presence.decode(stored.payload)
            if presence.service == "supervisor" or not presence.http_url:
                continue
            async with session.get(f"{presence.http_url}/metrics") as response:
                for border, value in _SAMPLE.findall(await response.text()):
                    found[border] += int(float(value))
    return found


async def attack(target: Target, region: Region, backup: str, abroad: Abroad) -> None:
    """Make 510 attempts over all borders."""
    before = await counted(target.bus)
    await attempts.queue_work(target, 90)
    await attempts.store_messages(target, 60)
    await asyncio.gather(
        attempts.open_sessions(target, 40),
        attempts.read_articles(target, 40),
        attempts.search(target, 90),
        attempts.complete(target, 60),
        attempts.read_customers(target, 40),
        attempts.call_tools(target, 20, abroad.url),
        attempts.read_archives(target, 30),
        attempts.use_console(target, 30, region.foreign_key),
        attempts.restore_backups(target, 5, backup),
        attempts.share_account(target, 5),
    )
    made = target.made
    deadline = time.monotonic() + 90
    found: Counter[str] = Counter()
    while found != made and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        found = Counter(each.border for each in await recorded(target.bus, target.region))
    assert found == made
    records = await recorded(target.bus, target.region)
    assert all((each.from_region, each.to_region) == directions(target, each) for each in records)
    assert target.conversations <= {each.conversation for each in records}
    in_suite = made - Counter({"tool": made["tool"], "streams": made["streams"]})  # those were made in this process
    assert await counted(target.bus) - before == in_suite
    assert target.results == []
    await reach_nothing(target, len(records))


def directions(target: Target, record: ResidencyViolated) -> tuple[str, str]:
    """Return where the data came from and would have gone: outwards to providers, tools and people abroad."""
    leaves = record.border in {"provider", "tool"} or (record.border == "console" and not record.conversation)
    return (target.region, target.other) if leaves else (target.other, target.region)


async def reach_nothing(target: Target, number: int) -> None:
    """Check that the archive has every record, and that nothing of the other region is in archive, logs or log."""
    connection = await asyncpg.connect(target.suite.postgres_dsn())
    try:
        async with asyncio.timeout(120):
            while await connection.fetchval("SELECT count(*) FROM messages WHERE stream = 'VIOLATIONS'") < number:
                await asyncio.sleep(0.2)
        foreign = "SELECT count(*) FROM messages WHERE region = $1 OR position($2 IN convert_from(raw, 'UTF8')) > 0"
        assert await connection.fetchval(foreign, target.other, WORDS) == 0
    finally:
        await connection.close()
    assert await target.bus.last_message(streams.CONVERSATIONS.name, subjects.log_any(target.other)) is None
    for conversation in target.conversations:
        log = subjects.log_fence(target.region, conversation)
        assert await target.bus.last_message(streams.CONVERSATIONS.name, log) is None
    logs = (target.suite.data_dir / "logs").iterdir()
    assert not [file for file in logs if WORDS in file.read_text(errors="replace")]


@pytest.mark.long
async def test_thousand_attempts_between_two_regions(tmp_path: Path, abroad: Abroad) -> None:
    """Sessions, work, handoffs, consultations, retrieval, models, tools, archives, backups and consoles."""
    with ExitStack() as stack, ThreadPoolExecutor(2) as threads:
        pairs = list(zip(REGIONS, reversed(REGIONS), strict=True))
        starting = [threads.submit(start, tmp_path / region, region, other, abroad.url) for region, other in pairs]
        suites = [await asyncio.wrap_future(each) for each in starting]
        for suite, _ in suites:
            stack.callback(suite.stop)
        backups = [await asyncio.to_thread(backup_of, suite) for suite, _ in suites]
        for region, other in pairs:
            copy_backups(tmp_path / other / "backups", tmp_path / region / "backups")
        regions = [Region(suite, key, backup) for (suite, key), backup in zip(suites, backups, strict=True)]
        made = 0
        for (region, other), here, there in zip(pairs, regions, reversed(regions), strict=True):
            async with attacking(here.suite, region, other) as target:
                await attack(target, here, there.backup, abroad)
                made += target.made.total()
        assert made >= 1_000
        # A gateway opens connections to all of its providers at the start; nothing else was requested.
        assert set(abroad.received) <= {"/v1/models"}
        assert [suite.stop() for suite, _ in suites] == [0, 0]


def copy_backups(source: Path, target: Path) -> None:
    """Put the backups of one region into the store of another one, as an operator could by mistake."""
    for name in ("manifests", "blobs"):
        shutil.copytree(source / name, target / name, dirs_exist_ok=True)


def backup_of(suite: Suite) -> str:
    """Take a backup of a knowledge base; return its id."""
    done = run_cli(suite, "kb", "backup", "--full")
    assert done.returncode == 0, done.stderr
    found = re.search(r"\d{8}T\d{9}Z-[0-9a-f]{8}", done.stdout)
    assert found is not None, done.stdout
    return found[0]
