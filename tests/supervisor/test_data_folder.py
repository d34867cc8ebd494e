"""The data folder is closed to other accounts and owned by one account."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from trunkline_supervisor.adapters.accounts import secure_process
from trunkline_supervisor.adapters.data_folder import close_data_folder
from trunkline_supervisor.core.accounts import SERVICE_UID
from trunkline_supervisor.core.errors import SuiteError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change owners")
ME, MY_GROUP = os.geteuid(), os.getegid()


def test_folder_of_an_earlier_version_is_closed(tmp_path: Path) -> None:
    """Its secrets, logs and messages were readable by every account."""
    folder = tmp_path / "var"
    for name in (".", "logs", "nats", "postgres", "secrets"):
        (folder / name).mkdir(mode=0o755)
    close_data_folder(folder, ME, MY_GROUP)
    for name in (".", "logs", "nats", "postgres", "secrets"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o700


def test_shared_folder_is_refused(tmp_path: Path) -> None:
    """Closing /tmp would break the machine."""
    tmp_path.chmod(0o1777)
    with pytest.raises(SuiteError, match="shared folder"):
        close_data_folder(tmp_path, ME, MY_GROUP)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777


@as_root
def test_everything_changes_owner_but_foreign_files_and_the_targets_of_links(tmp_path: Path) -> None:
    """A link in the data folder must not give away a file elsewhere."""
    outside = tmp_path / "outside"
    outside.write_text("root's own")
    folder = tmp_path / "var"
    (folder / "logs" / "old").mkdir(parents=True)
    (folder / "logs" / "old" / "a.log").touch()
    (folder / "logs" / "link").symlink_to(outside)
    (folder / "nats").symlink_to(tmp_path)
    (folder / "notes").touch()
    close_data_folder(folder, SERVICE_UID, SERVICE_UID)
    owned = {path.name: path.lstat().st_uid for path in (folder, *folder.rglob("*"))}
    assert owned == {
        "var": SERVICE_UID,
        "logs": SERVICE_UID,
        "old": SERVICE_UID,
        "a.log": SERVICE_UID,
        "link": SERVICE_UID,
        "nats": 0,
        "notes": 0,
    }
    assert outside.stat().st_uid == tmp_path.stat().st_uid == 0
    close_data_folder(folder, 0, 0)
    assert {path.lstat().st_uid for path in (folder, *folder.rglob("*"))} == {0}


@as_root
def test_folder_of_a_person_is_not_taken(tmp_path: Path) -> None:
    """It may hold links that the person made to files of others."""
    folder = tmp_path / "var"
    folder.mkdir()
    os.chown(folder, 54321, 54321)
    with pytest.raises(SuiteError, match="belongs to uid 54321"):
        close_data_folder(folder, SERVICE_UID, SERVICE_UID)
    assert folder.stat().st_uid == 54321


@as_root
def test_unknown_account_is_refused_before_anything_changes(tmp_path: Path) -> None:
    """A typing error must not leave the suite running as root."""
    umask = os.umask(0)
    os.umask(umask)
    try:
        with pytest.raises(SuiteError, match="no account trunklin-typo"):
            secure_process("trunklin-typo", tmp_path / "var", [], before_change=lambda _: None)
    finally:
        os.umask(umask)
    assert not (tmp_path / "var").exists()
