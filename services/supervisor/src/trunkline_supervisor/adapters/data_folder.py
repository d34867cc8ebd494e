"""The data folder: closed to other accounts, and owned by the account that the suite runs as."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from trunkline_supervisor.core.accounts import SERVICE_UID
from trunkline_supervisor.core.errors import SuiteError

_PRIVATE: Final = 0o700
_OWN: Final = (
    *("archives", "backups", "erasures.jsonl", "lock", "logs", "milvus", "nats", "postgres"),
    *("run", "secrets"),
)
"""Everything that a suite keeps; other files in the folder are left as they are."""


@contextmanager
def usable_folder(folder: Path) -> Iterator[None]:
    """Raise an error of the block about a file or folder as one line for the operator."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SuiteError(f"cannot use {error.filename or folder}: {reason}; choose another --data-dir") from error


def create_parents(folder: Path) -> None:
    """Create the folders above, with the permissions of every new folder: other accounts may pass through them."""
    folder.parent.mkdir(parents=True, exist_ok=True)


def close_data_folder(folder: Path, uid: int, gid: int) -> None:
    """Create the folder if it does not exist, close it to other accounts, and give it to an account.

    Only root can change the owner, and only of a folder that belongs to root or to the service account before: in the
    folder of a person, files may be links to files of others. The folder itself changes owner last if it is given
    away and first if it is taken back, so that its former owner cannot replace files meanwhile.
    """
    folder.mkdir(mode=_PRIVATE, exist_ok=True)
    folder = folder.resolve()
    status = folder.stat()
    if not stat.S_ISDIR(status.st_mode) or status.st_mode & stat.S_ISVTX or folder == Path(folder.anchor):
        raise SuiteError(f"{folder} is a shared folder; choose another one with --data-dir")
    if status.st_uid != uid and (os.geteuid() != 0 or status.st_uid not in {0, SERVICE_UID}):
        raise SuiteError(f"{folder} belongs to uid {status.st_uid}; run as this account, or set TRUNKLINE_USER to it")
    folder.chmod(_PRIVATE)
    if uid == 0:
        os.chown(folder, uid, gid)
    for name in _OWN:
        if status.st_uid != uid or _is_left_by_root(folder / name):
            _chown_all(folder / name, uid, gid)
    os.chown(folder, uid, gid)
    for name in ("logs", "nats", "postgres", "secrets"):
        _close(folder / name)


def _is_left_by_root(folder: Path) -> bool:
    """Return whether root has created a folder that no other account could have filled."""
    status = folder.lstat() if folder.exists() else None
    return status is not None and stat.S_ISDIR(status.st_mode) and status.st_uid == 0 and os.geteuid() == 0


def _chown_all(path: Path, uid: int, gid: int) -> None:
    """Change the owner of a file, or of a folder and everything in it, without following links."""
    if path.is_symlink() or not path.exists():
        return
    for parent, _, files, handle in os.fwalk(path, follow_symlinks=False) if path.is_dir() else ():
        del parent
        os.chown(handle, uid, gid)
        for name in files:
            os.chown(name, uid, gid, dir_fd=handle, follow_symlinks=False)
    if not path.is_dir():
        os.chown(path, uid, gid, follow_symlinks=False)


def _close(folder: Path) -> None:
    """Close a folder that is open, as after a copy without permissions; PostgreSQL does not start in an open one."""
    if folder.is_dir() and not folder.is_symlink():
        folder.chmod(_PRIVATE)
