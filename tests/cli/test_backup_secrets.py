"""The secrets in a backup: all of the data folder but the key that encrypts those of customers."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from trunkline_cli.backup.creation import Creation
from trunkline_cli.backup.store import BackupStore
from trunkline_cli.settings import ClientSettings
from trunkline_supervisor.settings import SuiteSettings


@pytest.mark.parametrize("name", ["customer-keys", "our.key"])
async def test_wrapping_key_is_in_no_backup(tmp_path: Path, name: str) -> None:
    """Whatever its name: with it, a customer who is erased later could be read from the backup."""
    folder = tmp_path / "data" / "secrets"
    folder.mkdir(parents=True)
    for file in ("auth", name):
        (folder / file).write_text("0" * 64)
    settings = SuiteSettings(data_dir=tmp_path / "data", key_file=folder / name)
    creation = Creation(settings, ClientSettings(), BackupStore(str(tmp_path / "store")))
    part = await creation._secrets("b1")
    assert part is not None
    with tarfile.open(tmp_path / "store" / part.object) as tar:
        assert tar.getnames() == ["secrets", "secrets/auth"]
