"""The wrapping key of a suite: drawn once in the data folder, never beside those of other nodes."""

from __future__ import annotations

from pathlib import Path

import pytest
from trunkline_chassis.wrapping_keys import FileWrappingKeys
from trunkline_supervisor.app import _key_file
from trunkline_supervisor.core.errors import SuiteError
from trunkline_supervisor.settings import SuiteSettings

KEY_FILE_MODE = 0o600


def test_key_is_drawn_once_and_closed_to_others(tmp_path: Path) -> None:
    """The next start uses the same one."""
    file = Path(_key_file(SuiteSettings(), tmp_path))
    assert file == tmp_path / "secrets" / "customer-keys"
    assert file.stat().st_mode & 0o777 == KEY_FILE_MODE
    name = FileWrappingKeys(file).current
    assert _key_file(SuiteSettings(), tmp_path) == str(file)
    assert FileWrappingKeys(file).current == name


def test_node_beside_others_draws_no_key(tmp_path: Path) -> None:
    """It could not read what they store; it encrypts with a file that all of them have."""
    shared = tmp_path / "shared"
    assert _key_file(SuiteSettings(nats_url="nats://broker:4222"), tmp_path) == ""
    assert _key_file(SuiteSettings(nats_url="nats://broker:4222", key_file=shared), tmp_path) == str(shared)
    assert not (tmp_path / "secrets").exists()


def test_texts_stay_readable_once_encryption_is_off(tmp_path: Path) -> None:
    """A suite that never encrypted has no key."""
    off = SuiteSettings(encryption=False)
    assert _key_file(off, tmp_path) == ""
    file = _key_file(SuiteSettings(), tmp_path)
    assert _key_file(off, tmp_path) == file


def test_empty_key_file_is_refused(tmp_path: Path) -> None:
    """A new key would read nothing that is stored."""
    file = Path(_key_file(SuiteSettings(), tmp_path))
    file.write_text("")
    with pytest.raises(SuiteError, match="is empty; put its copy back"):
        _key_file(SuiteSettings(), tmp_path)
