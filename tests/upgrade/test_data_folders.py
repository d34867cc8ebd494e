"""Data of every released version opens in this one: the promise of docs/versioning.md."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.customer import Customer
from tests.support.suite import Suite, run_cli, trunkline
from tests.upgrade.data_folder import (
    ENVIRONMENT,
    FOLDERS,
    GREETING,
    LOST,
    ROOT,
    Recorded,
    archived,
    durable,
    read_contents,
    unpack,
)

pytestmark = pytest.mark.processes

_RELEASE = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", re.MULTILINE)
ARCHIVES = sorted(FOLDERS.glob("*.tar.xz"))


def test_every_released_version_has_its_folder() -> None:
    """The changelog says which versions are released."""
    released = set(_RELEASE.findall((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")))
    assert released == {archive.name.removesuffix(".tar.xz") for archive in ARCHIVES}


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.name)
async def test_data_of_a_released_version_opens(archive: Path, tmp_path: Path) -> None:
    """Conversations go on where they were, and fleet, articles and archive are those that were stored."""
    contents = read_contents(archive)
    suite = await asyncio.to_thread(Suite, unpack(archive, tmp_path), ENVIRONMENT)
    try:
        for recorded in (contents.answered, contents.waiting):
            await check_resume(suite, recorded)
        async with Customer(suite.url) as newcomer:
            await newcomer.start()
            await newcomer.ask("m1", "Is there a deposit?")
        assert "lost-property" in run_cli(suite, "kb", "search", LOST).stdout, "the imported article is not found"
        shown = run_cli(suite, "fleet", "show", "--json")
        assert GREETING in shown.stdout, "the fleet of the operator is not in force"
        rows = await archived(suite)
        assert [row for row in contents.archived if row not in rows] == []
        verified = await asyncio.to_thread(run_audit, suite)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        logs = "".join(file.read_text(errors="replace") for file in (suite.data_dir / "logs").glob("*.log"))
        assert "undecodable" not in logs
        assert "dead_lettered" not in logs
    finally:
        assert await asyncio.to_thread(suite.stop) == 0


def run_audit(suite: Suite) -> subprocess.CompletedProcess[str]:
    """Verify the audit trail: older rows have their places in the tree too."""
    command = [trunkline(), "audit", "verify", "--data-dir", str(suite.data_dir)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def check_resume(suite: Suite, recorded: Recorded) -> None:
    """Resume a conversation from its beginning and send one more message."""
    async with Customer(suite.url) as customer:
        customer.conversation, customer.resume_token = recorded.conversation, recorded.resume_token
        customer.last_seq = 1
        await customer.resume()
        while len(durable(customer)) < len(recorded.frames):
            await customer.receive()
        assert [frame["seq"] for frame in durable(customer)] == [frame["seq"] for frame in recorded.frames]
        texts = [frame.get("text") for frame in recorded.frames]
        assert [frame.get("text") for frame in durable(customer)] == texts
        await customer.ask(f"m{recorded.asked + 1}", "What does a kayak cost?")
