"""A backup of a whole suite while it serves, and its restore into a new folder, on which another suite goes on."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support import live_folder
from tests.support.customer import Customer
from tests.support.suite import Suite, run_cli, trunkline

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a `trunkline` command that asks no suite."""
    return subprocess.run(
        [trunkline(), *arguments], env=dict(os.environ), capture_output=True, text=True, timeout=120, check=False
    )


def files_with(folder: Path, content: bytes) -> list[Path]:
    """Return the files that contain some bytes."""
    return [file for file, found in live_folder.contents(folder) if content in found]


async def test_suite_goes_on_from_a_restored_backup(suite: Suite, tmp_path: Path) -> None:
    """The conversation resumes with its frames, articles are found, and the audit trail verifies."""
    store, folder = str(tmp_path / "store"), tmp_path / "restored"
    (tmp_path / "hopper.md").write_text("The hopper of the grinder holds two hundred grams of beans.")
    assert run_cli(suite, "kb", "import", str(tmp_path / "hopper.md")).returncode == 0
    async with Customer(suite.url) as customer:
        await customer.start()
        before = await customer.ask("m1", "How many grams of beans does the hopper of the grinder hold?")
        created = run_cli(suite, "backup", "create", "--store", store, "--json")
        assert created.returncode == 0, created.stderr
        manifest = json.loads(created.stdout)
        await customer.ask("m2", "Where is my parcel?")  # after the backup: lost with it

        assert manifest["id"] in run("backup", "list", "--store", store).stdout
        assert "parts are undamaged" in run("backup", "verify", "--store", store).stdout
        keyless = run("backup", "restore", "--store", store, "--data-dir", str(folder))
        assert keyless.returncode == 1
        assert "--key-file" in keyless.stderr
        key = suite.data_dir / "secrets" / "customer-keys"
        assert not files_with(Path(store), key.read_bytes())
        arguments = ("--store", store, "--data-dir", str(folder), "--key-file", str(key))
        restored = run("backup", "restore", *arguments)
        assert restored.returncode == 0, restored.stderr
        again = run("backup", "restore", *arguments)
        assert again.returncode == 1
        assert "holds a suite already" in again.stderr
        second = Suite(folder, {"TRUNKLINE_MESSAGES_PER_S": "30"})
        try:
            assert run_cli(second, "kb", "restore", manifest["knowledge"]["backup"], "--replace").returncode == 0
            customer.move_to(second.url)
            customer.last_seq = before["seq"]
            assert (await customer.resume())["recovered"] is True
            after = await customer.ask("m2", "How many grams of beans does the hopper of the grinder hold?")
            assert after["seq"] == before["seq"] + 2, "the conversation goes on where the backup ends"
            assert after["text"] == before["text"]
            verified = run("audit", "verify", "--data-dir", str(folder), "--json")
        finally:
            assert second.stop() == 0
    assert verified.returncode == 0, verified.stdout
    assert json.loads(verified.stdout)["records"] >= manifest["archive"]["rows"]["messages"] > 0


def test_damaged_part_is_found_before_anything_is_created(suite: Suite, tmp_path: Path) -> None:
    """By `verify` and by `restore`; a store in the data folder is refused."""
    store, folder = tmp_path / "store", tmp_path / "restored"
    arguments = ("backup", "create", "--store", str(store), "--without", "knowledge", "--json")
    manifest = json.loads(run_cli(suite, *arguments).stdout)
    assert manifest.get("knowledge") is None
    part = store / manifest["id"] / "streams" / "INBOX"
    key = suite.data_dir / "secrets" / "customer-keys"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    for action in (("verify",), ("restore", "--data-dir", str(folder), "--key-file", str(key))):
        refused = run("backup", *action, "--store", str(store))
        assert refused.returncode == 1
        assert f"{manifest['id']}/streams/INBOX is damaged" in refused.stderr
    assert not folder.exists()
    inside = run_cli(suite, "backup", "create", "--store", str(suite.data_dir / "store"))
    assert inside.returncode == 1
    assert "is in the data folder" in inside.stderr
