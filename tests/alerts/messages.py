"""Faults of messages, stores, fleets and turns."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import tomllib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg
from trunkline_protocols import subjects
from trunkline_protocols.ids import conversation_id

from tests.alerts.monitor import until
from tests.alerts.stage import FREE, Stage
from tests.support.suite import run_cli

FLEET: Final = Path(__file__).parents[2] / "fleet"
_OLD_S: Final = 3 * 86_400
_SLOW_MODEL: Final = """
[[provider]]
name = "slow"
kind = "simulated"
first_token_ms_median = 8000
first_token_sigma = 0
tokens_median = 5
"""


@asynccontextmanager
async def slow_turns(stage: Stage) -> AsyncIterator[None]:
    """The one conversation process stands still for a second while turns wait for it."""
    pid = await asyncio.to_thread(stage.suite.pid, "conversation-1")
    async with AsyncExitStack() as stack:
        await stage.ask()
        for _ in range(3):
            os.kill(pid, signal.SIGSTOP)
            customers = [await stage.say(stack) for _ in range(8)]
            await asyncio.sleep(1)
            os.kill(pid, signal.SIGCONT)
            for customer in customers:
                await customer.answer_to("m1")
            await asyncio.sleep(2)
        yield


@asynccontextmanager
async def undecodable_message(stage: Stage) -> AsyncIterator[None]:
    """A message of a customer that no version can read."""
    await stage.write(subjects.inbox("local", conversation_id(secrets.token_hex(12))), b"nonsense")
    yield


@asynccontextmanager
async def undecodable_value(stage: Stage) -> AsyncIterator[None]:
    """A notice that no version can read."""
    await stage.write(subjects.notice("local", "customers"), b"\xff")
    yield


@asynccontextmanager
async def refused_row(stage: Stage) -> AsyncIterator[None]:
    """A constraint of the database's owner refuses a message."""
    assert stage.postgres is not None
    connection = await asyncpg.connect(stage.postgres.dsn)
    await connection.execute("ALTER TABLE messages ADD CHECK (octet_length(raw) <> 13) NOT VALID")
    await connection.close()
    await stage.write("conv.local.0.c2.turn", b'{"odd": 1234}')
    yield


@asynccontextmanager
async def postgres_down(stage: Stage) -> AsyncIterator[None]:
    """PostgreSQL is stopped, and a message waits to be recorded."""
    assert stage.postgres is not None
    await asyncio.to_thread(stage.postgres.stop)
    try:
        await stage.ask()
        yield
    finally:
        await stage.postgres.start()


@asynccontextmanager
async def waiting_customers(stage: Stage) -> AsyncIterator[None]:
    """A customer waits for a person, and none comes within the seconds that the fleet allows."""
    async with AsyncExitStack() as stack:
        customer = await stage.say(stack, "I want to talk to a person, please")
        await customer.answer_to("m1")
        # Each breach raises the urgency, a label of the alert, up to the last one.
        last = 'ALERTS{alertname="TrunklineEscalationsBreached", alertstate="firing", urgency="critical"}'
        await until(lambda: bool(stage.monitor.result(last)), "the urgency is critical", 60)
        yield


@asynccontextmanager
async def deep_queue(stage: Stage) -> AsyncIterator[None]:
    """A slow model holds all agents, and many more customers ask."""
    await stage.configure_models(_SLOW_MODEL)
    try:
        async with AsyncExitStack() as stack:
            for _ in range(90):
                await stage.say(stack)
            yield
    finally:
        await stage.configure_models(FREE)


def _closed_fleet(folder: Path) -> Path:
    """Copy the fleet, with every topic closed to customers without a verified token."""
    shutil.copytree(FLEET, folder)
    texts = [file.read_text(encoding="utf-8") for file in folder.glob("agents/*/*.toml")]
    topics = {topic for text in texts for topic in tomllib.loads(text)["knowledge"]["topics"]}
    with (folder / "fleet.toml").open("a", encoding="utf-8") as file:
        file.writelines(f"\n[customers.topics.{topic}]\nverified = true\n" for topic in sorted(topics))
    return folder


@asynccontextmanager
async def worse_fleet(stage: Stage) -> AsyncIterator[None]:
    """A version whose agents find no article is rolled out to half of the conversations, and goes back."""
    folder = _closed_fleet(stage.folder / "worse")
    options = ("--share", "50", "--hold", "1h", "--min-turns", "1000")
    done = await asyncio.to_thread(run_cli, stage.suite, "fleet", "apply", str(folder), *options)
    assert done.returncode == 0, done.stderr

    def phase() -> str:
        return str(stage.suite.get("/v1/ops/fleet/rollout")["rollout"]["phase"])

    await until(lambda: phase() == "running", "the candidate is loaded", 90)
    for _ in range(120):
        if await asyncio.to_thread(phase) == "withdrawn":
            break
        await stage.ask()
    yield


@asynccontextmanager
async def failing_backups(stage: Stage) -> AsyncIterator[None]:
    """The last backup is three days old, its content has changed, and the store takes no further one."""
    assert (await asyncio.to_thread(run_cli, stage.suite, "kb", "backup")).returncode == 0
    store = stage.suite.data_dir / "backups"
    await asyncio.to_thread(_age_last_backup, store / "manifests")
    (store / "blobs").rename(store / "kept")
    (store / "blobs").write_text("not a folder")
    article = stage.folder / "article.md"
    article.write_text("# Opening hours of the moon office\n\nThe moon office is open from nine to five.\n")
    assert (await asyncio.to_thread(run_cli, stage.suite, "kb", "import", str(article))).returncode == 0
    await asyncio.to_thread(stage.suite.kill, "rag-1")
    try:
        yield
    finally:
        (store / "blobs").unlink()
        (store / "kept").rename(store / "blobs")


def _age_last_backup(manifests: Path) -> None:
    """Leave the last backup only, as one of three days ago."""
    *earlier, last = sorted(manifests.iterdir())
    for each in earlier:
        each.unlink()
    content = json.loads(last.read_bytes())
    last.write_text(json.dumps({**content, "created_at": content["created_at"] - _OLD_S}))
