"""The account of the embedded PostgreSQL, which refuses to run as root.

If the suite itself runs as root, the server is started in a user namespace, in which the process has another uid while
root keeps the files; if namespaces are not allowed, as uid 65534. Both wrappers exec the server: the started process is
PostgreSQL itself and receives the signals. `initdb` also requires that its account has an entry in the user database.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

from trunkline_supervisor.core.errors import PostgresStartError

_NOBODY: Final = 65534
_AS_NOBODY: Final = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--")
_CHECK_TIMEOUT_S: Final = 10
_TRAVERSABLE: Final = 0o711


def prefix(folder: Path, binary: str) -> tuple[str, ...]:
    """Return the beginning of a command that must not run as root and that uses a folder."""
    if os.geteuid() != 0:
        return () if has_entry(os.geteuid()) or not _namespaces_allowed() else _namespace()
    if _namespaces_allowed():
        return _namespace()
    for check in (("test", "-w", str(folder)), (binary, "--version")):
        if not _succeeds((*_AS_NOBODY, *check)):
            raise PostgresStartError(
                "PostgreSQL does not run as root, user namespaces are not allowed here, and user 'nobody' cannot use "
                f"{check[-1] if check[0] == 'test' else check[0]}: "
                "run as another user, or choose folders that every user may access"
            )
    return _AS_NOBODY


def hand_over(folder: Path) -> None:
    """Give a folder to the account that PostgreSQL runs as; necessary and possible only as root.

    If that account is not root, it needs to pass through the folder above, which stays closed for reading; everything
    beside this folder is closed by itself.
    """
    if os.geteuid() != 0:
        return
    user = 0 if _namespaces_allowed() else _NOBODY
    if user != 0:
        folder.parent.chmod(_TRAVERSABLE)
    if folder.stat().st_uid == user:
        return
    _chown(folder, user)


def take_back(folder: Path) -> None:
    """Give a folder back to root, which gives it to the account of the suite."""
    _chown(folder, 0)


def _chown(folder: Path, uid: int) -> None:
    for path in (*folder.rglob("*"), folder):
        os.chown(path, uid, uid, follow_symlinks=False)


def has_entry(uid: int) -> bool:
    """Return whether the user database knows a uid."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _namespace() -> tuple[str, ...]:
    """Return a command that changes the visible uid to one that is not root and has an entry."""
    uid = next((entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0), _NOBODY)
    return ("unshare", "--user", f"--map-user={uid}", f"--map-group={uid}", "--")


@cache
def _namespaces_allowed() -> bool:
    return _succeeds((*_namespace(), "true"))


def _succeeds(command: tuple[str, ...]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_CHECK_TIMEOUT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
