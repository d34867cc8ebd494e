"""An erased customer on the disk: no file shows a text, no key that is left decrypts one, every proof holds.

The same after a backup is restored that was taken before. A suite of its own is stopped to read its files.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from trunkline_chassis.customer_keys import DataKey
from trunkline_chassis.errors import KeyUnavailableError
from trunkline_chassis.wrapping_keys import FileWrappingKeys, WrappedSecret
from trunkline_protocols import codec
from trunkline_protocols.customer_keys import CustomerKey, parse_key_id
from trunkline_protocols.texts import decrypt_texts

from tests.support import live_folder
from tests.support.customer import Customer
from tests.support.suite import Suite, run_cli, trunkline, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.long]

SMALL = {f"TRUNKLINE_{pool}_PROCESSES_MIN": "1" for pool in ("INGRESS", "AGENTS", "LLM_GATEWAY")}
MESSAGE = re.compile(rb'\{"type":"turn\.received"[^{}]*\}')
KEY = re.compile(rb'\{"type":"customer\.key"[^{}]*\}')


def files(folder: Path) -> Iterator[bytes]:
    """Yield the contents of every file of a data folder: streams, PostgreSQL with its log, logs, secrets."""
    yield from (content for _, content in live_folder.contents(folder))


def found(folder: Path, pattern: re.Pattern[bytes]) -> set[bytes]:
    """Return everything in the files that matches."""
    return {match for content in files(folder) for match in pattern.findall(content)}


async def readable(folder: Path) -> set[str]:
    """Return every message of a customer that the keys of a folder decrypt."""
    wrapping = FileWrappingKeys(folder / "secrets" / "customer-keys")
    keys = []
    for raw in found(folder, KEY):
        record: CustomerKey = codec.customer_key.decode(raw)
        wrapped = WrappedSecret(record.wrapped, record.wrapped_by)
        try:
            keys.append(DataKey(parse_key_id(record.id)[0], await wrapping.unwrap(wrapped, record.id.encode())))
        except KeyUnavailableError:
            continue
    texts = set()
    for raw in found(folder, MESSAGE):
        for key in keys:
            try:
                # A message may lie across two pages of PostgreSQL: it is whole elsewhere.
                message = codec.inbox.decode(raw)
                texts.add(decrypt_texts(message, key).text)  # type: ignore[type-var,union-attr]
            except codec.DecodeError:
                continue
    return texts


async def say(suite: Suite, name: str, text: str) -> str:
    """Have a message of a customer answered; return the conversation."""
    async with Customer(suite.url, name) as customer:
        await customer.start()
        await customer.ask("m1", text)
        return customer.conversation


def audit(suite: Suite, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `trunkline audit` with the data folder of a suite."""
    command = [trunkline(), "audit", *arguments, "--data-dir", str(suite.data_dir)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def assert_erased(suite: Suite, conversation: str, canary: str, heads: Path) -> None:
    """Check that a conversation is not readable, and that the records of before are proven."""
    trace = await asyncio.to_thread(run_cli, suite, "trace", conversation, "--json")
    assert canary not in trace.stdout
    assert "[erased]" in trace.stdout
    done = await asyncio.to_thread(audit, suite, "verify", "--json", "--heads", str(heads))
    assert (done.returncode, json.loads(done.stdout)["broken"]) == (0, []), done.stdout


async def test_erased_customer_is_in_no_file(tmp_path: Path) -> None:
    """Another customer's texts stay readable: the search finds what is there."""
    folder, backup, heads = tmp_path / "data", tmp_path / "backup", tmp_path / "heads.jsonl"
    canary, kept = f"canary {secrets.token_hex(8)}", f"canary {secrets.token_hex(8)}"
    suite = Suite(folder, SMALL)
    try:
        conversation = await say(suite, "ada", f"When will my refund be paid to my bank? {canary}")
        await say(suite, "bob", f"When will my refund be paid to my bank? {kept}")
        trace = await asyncio.to_thread(run_cli, suite, "trace", conversation, "--json")
        assert canary in trace.stdout

        def is_archived() -> bool:
            done = audit(suite, "prove", conversation)
            heads.write_text(audit(suite, "heads").stdout)
            return '"stream": "CONVERSATIONS"' in done.stdout

        await asyncio.to_thread(wait_until, is_archived, "the conversation has proofs")
    finally:
        assert await asyncio.to_thread(suite.stop) == 0
    before = await readable(folder)
    assert any(canary in text for text in before)
    assert any(kept in text for text in before)
    await asyncio.to_thread(
        shutil.copytree, folder, backup, symlinks=True, ignore=shutil.ignore_patterns("*.sock", "run")
    )

    suite = Suite(folder, SMALL)
    try:
        done = await asyncio.to_thread(run_cli, suite, "erase", "--customer", "ada")
        assert done.returncode == 0, done.stderr
        await assert_erased(suite, conversation, canary, heads)
    finally:
        assert await asyncio.to_thread(suite.stop) == 0
    for content in files(folder):
        assert canary.encode() not in content
        assert kept.encode() not in content
    after = await readable(folder)
    assert not any(canary in text for text in after)
    assert any(kept in text for text in after)

    # The list of erasures is all that is kept of the folder that the backup replaces.
    shutil.copy(folder / "erasures.jsonl", backup / "erasures.jsonl")
    suite = Suite(backup, SMALL)
    try:
        await assert_erased(suite, conversation, canary, heads)
    finally:
        assert await asyncio.to_thread(suite.stop) == 0
    restored = await readable(backup)
    assert not any(canary in text for text in restored)
    assert any(kept in text for text in restored)
