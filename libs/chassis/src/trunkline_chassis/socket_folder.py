"""Private folders for Unix sockets: short enough for the address of a socket, closed to every other account.

The kernel limits the address of a Unix socket to 107 bytes. If a data folder is too deep for that, its sockets are
placed in a folder of the account below its runtime directory, else below /tmp. In a folder where every account may
create files, another account can create the expected name first, as a folder of its own or as a symbolic link: such
a name is not used.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

MAX_ADDRESS_BYTES: Final = 106
_SHARED: Final = Path("/tmp")  # noqa: S108 - the folders below it are checked
_PRIVATE: Final = 0o700


class SocketFolderError(Exception):
    """The folder cannot be private."""


def socket_folder(preferred: Path, *, longest_name: str, runtime_dir: Path | None = None) -> Path:
    """Create the private folder for the sockets of one suite and return it.

    It is `preferred` unless the address of a socket named `longest_name` would be too long there. `runtime_dir` is the
    account's own, as in XDG_RUNTIME_DIR. Raises `SocketFolderError` if `preferred` belongs to another account.
    """
    if len(os.fsencode(preferred / longest_name)) <= MAX_ADDRESS_BYTES:
        _make_private(preferred)
        return preferred
    name = f"trunkline-{os.geteuid()}-{hashlib.sha256(os.fsencode(preferred)).hexdigest()[:12]}"
    for base in (runtime_dir, _SHARED):
        if base is None or len(os.fsencode(base / name / longest_name)) > MAX_ADDRESS_BYTES:
            continue
        try:
            _check_base(base)
            _make_private(base / name)
        except (SocketFolderError, OSError):
            continue
        return base / name
    # Another account has taken the name: a drawn one cannot be taken.
    return Path(tempfile.mkdtemp(prefix="trunkline-", dir=_SHARED))


def remove_socket_folder(folder: Path, preferred: Path) -> None:
    """Remove a folder outside the data folder, if its sockets are gone."""
    if folder != preferred:
        for inner in (*folder.glob("*/"), folder):
            try:
                inner.rmdir()
            except OSError:
                return


def _make_private(folder: Path) -> None:
    """Create a folder, or check that it belongs to this account and close it to all others."""
    folder.mkdir(mode=_PRIVATE, exist_ok=True)
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise SocketFolderError(f"{folder} is not a folder of this account") from error
    try:
        if os.fstat(handle).st_uid != os.geteuid():
            raise SocketFolderError(f"{folder} belongs to another account")
        os.fchmod(handle, _PRIVATE)
    finally:
        os.close(handle)


def _check_base(base: Path) -> None:
    """Refuse a folder in which another account could replace ours."""
    status = base.stat()
    is_trusted = status.st_uid in {0, os.geteuid()}
    is_writable = bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    if not is_trusted or (is_writable and not status.st_mode & stat.S_ISVTX):
        raise SocketFolderError(f"{base} is writable by other accounts")
