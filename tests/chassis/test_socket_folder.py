"""Folders for Unix sockets are short, private, and never one that another account has made."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from trunkline_chassis.socket_folder import (
    MAX_ADDRESS_BYTES,
    SocketFolderError,
    remove_socket_folder,
    socket_folder,
)

NAME = "pg/.s.PGSQL.5432"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can create folders of other accounts")


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A folder whose path is too long for a socket; its replacement below /tmp is removed."""
    folder = tmp_path / ("d" * 120) / "run"
    folder.parent.mkdir()
    found = socket_folder(folder, longest_name=NAME)
    shutil.rmtree(found)
    yield folder
    if found.is_symlink():
        found.unlink()
    shutil.rmtree(found, ignore_errors=True)


def expected(deep: Path) -> Path:
    """Return the folder below /tmp for this one, without creating it."""
    found = socket_folder(deep, longest_name=NAME)
    found.rmdir()
    return found


def mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def test_short_folder_is_used_and_closed(tmp_path: Path) -> None:
    """An earlier version may have left it open."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o755)
    assert socket_folder(folder, longest_name=NAME) == folder
    assert mode(folder) == 0o700


def test_deep_folder_is_replaced_by_a_short_private_one(deep: Path) -> None:
    """The same at the next start, and removed at the end."""
    found = socket_folder(deep, longest_name=NAME)
    assert len(os.fsencode(found / NAME)) <= MAX_ADDRESS_BYTES
    assert mode(found) == 0o700
    assert socket_folder(deep, longest_name=NAME) == found
    (found / "pg").mkdir()
    remove_socket_folder(found, deep)
    assert not found.exists()


def test_runtime_directory_of_the_account_is_preferred(deep: Path) -> None:
    """It is emptied at logout, and no other account can create names in it."""
    runtime = Path("/tmp") / f"runtime-{os.getpid()}"  # noqa: S108 - short
    runtime.mkdir(mode=0o700)
    try:
        assert socket_folder(deep, longest_name=NAME, runtime_dir=runtime).parent == runtime
        runtime.chmod(0o777)
        assert socket_folder(deep, longest_name=NAME, runtime_dir=runtime).parent != runtime
    finally:
        shutil.rmtree(runtime)


def test_symbolic_link_in_its_place_is_not_followed(deep: Path, tmp_path: Path) -> None:
    """The link of an attacker would move the sockets into a folder of theirs."""
    trap = tmp_path / "trap"
    trap.mkdir()
    place = expected(deep)
    place.symlink_to(trap)
    found = socket_folder(deep, longest_name=NAME)
    assert found != place
    assert not found.is_symlink()
    assert mode(found) == 0o700
    found.rmdir()


@as_root
def test_folder_that_another_account_made_first_is_not_used(deep: Path) -> None:
    """And the start does not fail for it either."""
    place = expected(deep)
    place.mkdir(mode=0o777)
    os.chown(place, 54321, 54321)
    found = socket_folder(deep, longest_name=NAME)
    assert found != place
    assert found.stat().st_uid == 0
    found.rmdir()


@as_root
def test_preferred_folder_of_another_account_is_refused(tmp_path: Path) -> None:
    """In the data folder it cannot be an accident."""
    folder = tmp_path / "run"
    folder.mkdir()
    os.chown(folder, 54321, 54321)
    with pytest.raises(SocketFolderError, match="another account"):
        socket_folder(folder, longest_name=NAME)
