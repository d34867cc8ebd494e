"""Archives of retention in S3, served by moto: `./just peers` installs it into a separate environment."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from trunkline_audit.adapters.archive_reader import ArchivedConversations
from trunkline_audit.core.retention.manifest import unpack
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import ObjectExistsError, ObjectStoreUnavailableError
from trunkline_chassis.object_store import ObstoreObjectStore
from trunkline_cli.audit import archive as auditor
from trunkline_protocols.archives import ReadArchived

from tests.audit.conftest import archive, nats_url, postgres, postgres_server
from tests.audit.harness import ArchiveReader
from tests.audit.retention.harness import ClientRecord, SmallSuite, open_suite
from tests.audit.retention.month import is_complete
from tests.support.moto import NEEDS_MOTO, bucket, moto_endpoint
from tests.support.suite import trunkline

__all__ = ["archive", "bucket", "moto_endpoint", "nats_url", "postgres", "postgres_server"]

pytestmark = [pytest.mark.peers, pytest.mark.processes, NEEDS_MOTO]

UNCHECKED: Final = (
    "trunkline: the bucket's default retention (Object Lock) cannot be checked from here; set it, so that archives "
    "cannot be deleted\n"
)


@pytest.fixture
async def suite(
    bus: Bus,  # noqa: ARG001 - provisioned
    nats_url: str,
    archive: ArchiveReader,
    bucket: str,
    tmp_path: Path,
) -> AsyncIterator[SmallSuite]:
    """A suite whose records are a month old, and whose archives go to the bucket."""
    async with open_suite(nats_url, archive, tmp_path) as opened:
        opened.location = bucket
        opened.clock.days = -30
        for _ in range(3):
            await opened.traffic.converse()
        await opened.settle()
        opened.clock.days = 0
        yield opened


class LosingStore(ObstoreObjectStore):
    """A store that writes, but whose first reply of a name is lost."""

    def __init__(self, location: str, suffix: str) -> None:
        super().__init__(location)
        self._suffix = suffix

    async def put_once(self, name: str, payload: bytes) -> None:
        await super().put_once(name, payload)
        if name.endswith(self._suffix):
            raise ObjectStoreUnavailableError(f"{self.location}: no reply")


async def fail_at(suite: SmallSuite, suffix: str) -> None:
    """Run until the reply of a put is lost."""
    with pytest.raises(ObjectStoreUnavailableError, match="no reply"):
        await suite.retention(open_objects=lambda at: LosingStore(at, suffix)).run()


async def names(suite: SmallSuite) -> list[str]:
    """Return the objects of the bucket, without the folders of their runs."""
    found = await ObstoreObjectStore(suite.location).list_objects("")
    return sorted(each.rpartition("/")[2] for each in found)


async def assert_not_trimmed(suite: SmallSuite) -> None:
    """All messages are in the streams, all bytes in the table."""
    for record in suite.traffic.records.values():
        messages = len(record.questions) + 1
        assert len(await suite.stream("INBOX", record)) == len(await suite.stream("CONVERSATIONS", record)) == messages
        assert await suite.texts(record) == 2 * messages


async def assert_archived(suite: SmallSuite) -> None:
    """The bucket has one archive with every message once, from which conversations are read; it verifies."""
    objects = await ObstoreObjectStore(suite.location).list_objects("")
    assert Counter(each.rpartition(".")[2] for each in objects) == {"zst": 1, "json": 1, "py": 1}
    [packed] = [each for each in objects if each.endswith(".zst")]
    entries = unpack(await ObstoreObjectStore(suite.location).get(packed))
    records: list[ClientRecord] = list(suite.traffic.records.values())
    messages = sum(2 * len(each.questions) + 2 for each in records)
    assert sum(each["kind"] == "record" for each in entries) == messages
    source = ArchivedConversations(suite.archive.dsn, ObstoreObjectStore)
    for record in records:
        assert await suite.texts(record) == 0
        found = await source.read(ReadArchived(conversation=record.conversation))
        assert is_complete(record, [json.loads(each.payload) for each in found.records])
    checked = await auditor.verify(suite.archive.dsn, None, suite.signer.public_key.hex())
    assert (checked.faults, checked.unread, checked.archived, checked.in_archives) == ([], [], messages, messages)


async def test_command_archives_to_s3_and_names_the_lock_that_it_cannot_check(
    suite: SmallSuite, tmp_path: Path
) -> None:
    """A second run finds nothing to do."""
    policy = tmp_path / "retention.toml"
    policy.write_text('[[rule]]\nkind = ["conversation", "inbox"]\nkeep = "3d"\n', encoding="utf-8")
    environment = os.environ | {"TRUNKLINE_NATS_URL": suite.nats_url, "TRUNKLINE_POSTGRES_DSN": suite.archive.dsn}

    def run() -> subprocess.CompletedProcess[str]:
        options = ["--policy", str(policy), "--to", suite.location, "--data-dir", str(tmp_path), "--json"]
        command = [trunkline(), "retention", "run", *options]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    for expected in (sum(2 * len(each.questions) + 2 for each in suite.traffic.records.values()), 0):
        done = await asyncio.to_thread(run)
        assert (done.returncode, done.stderr) == (0, UNCHECKED)
        report = json.loads(done.stdout)
        assert (report["archived"], report["trimmed"], report["waiting"]) == (expected, expected, 0)
    await assert_archived(suite)


@pytest.mark.parametrize("suffix", [".zst", "verify.py", "manifest.json"])
async def test_run_goes_on_after_a_put_whose_reply_was_lost(suite: SmallSuite, suffix: str) -> None:
    """The next run meets its own object, and writes no other."""
    await fail_at(suite, suffix)
    await assert_not_trimmed(suite)
    before = await names(suite)
    await suite.retention().run()
    assert set(before) <= set(await names(suite))
    await assert_archived(suite)


async def test_object_with_other_bytes_ends_the_run(suite: SmallSuite) -> None:
    """It is not overwritten, and nothing is trimmed."""
    await fail_at(suite, ".zst")
    store = ObstoreObjectStore(suite.location)
    [name] = await store.list_objects("")
    await store.put(name, b"other")
    with pytest.raises(ObjectExistsError, match="with other bytes"):
        await suite.retention().run()
    assert await store.get(name) == b"other"
    assert await names(suite) == [name.rpartition("/")[2]]
    await assert_not_trimmed(suite)


async def test_one_of_two_writers_of_a_name_wins(bucket: str) -> None:
    """The server decides (If-None-Match): no check before the write could."""
    payloads = [str(number).encode() for number in range(8)]

    async def put(payload: bytes) -> bool:
        try:
            await ObstoreObjectStore(bucket).put_once("run/object", payload)
        except ObjectExistsError:
            return False
        return True

    written = await asyncio.gather(*(put(payload) for payload in payloads))
    assert sum(written) == 1
    assert await ObstoreObjectStore(bucket).get("run/object") == payloads[written.index(True)]
    assert await put(payloads[written.index(True)]), "the same bytes are no conflict"
