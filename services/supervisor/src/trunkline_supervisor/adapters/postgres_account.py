"""The account of the embedded PostgreSQL, which refuses to run as root.

If the suite itself runs as root, the server is started in a user namespace, in which the process has another uid while
root keeps the files; if namespaces are not allowed, as an unprivileged uid. Both wrappers exec the server: the started
process is PostgreSQL itself and receives the signals.
"""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

from trunkline_supervisor.core.accounts import SERVICE_UID
from trunkline_supervisor.core.errors import PostgresStartError

_NAMESPACE: Final = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
_UNPRIVILEGED: Final = ("setpriv", f"--reuid={SERVICE_UID}", f"--regid={SERVICE_UID}", "--clear-groups", "--")
_CHECK_TIMEOUT_S: Final = 10
_TRAVERSABLE: Final = 0o711


def prefix(folder: Path, binary: str) -> tuple[str, ...]:
    """Return the beginning of a command that must not run as root and that uses a folder."""
    if os.geteuid() != 0:
        return ()
    if _namespaces_allowed():
        return _NAMESPACE
    for check in (("test", "-w", str(folder)), (binary, "--version")):
        if not _succeeds((*_UNPRIVILEGED, *check)):
            raise PostgresStartError(
                f"PostgreSQL does not run as root, user namespaces are not allowed here, and uid {SERVICE_UID} cannot "
                f"use {check[-1] if check[0] == 'test' else check[0]}: run as another user, or choose folders that "
                "this uid may access"
            )
    return _UNPRIVILEGED


def hand_over(folder: Path) -> None:
    """Give a folder to the account that PostgreSQL runs as; necessary and possible only as root.

    If that account is not root, it needs to pass through the folders above, which stay closed for reading; all that is
    beside this folder is closed by itself.
    """
    if os.geteuid() != 0:
        return
    user = 0 if _namespaces_allowed() else SERVICE_UID
    if user != 0:
        folder.parent.chmod(_TRAVERSABLE)
    if folder.stat().st_uid == user:
        return
    for path in (*folder.rglob("*"), folder):
        os.chown(path, user, user, follow_symlinks=False)


@cache
def _namespaces_allowed() -> bool:
    return _succeeds((*_NAMESPACE, "true"))


def _succeeds(command: tuple[str, ...]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_CHECK_TIMEOUT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
