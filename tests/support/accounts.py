"""Processes under other accounts of this machine; only root can start them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ATTACKER: Final = 54321
PERSON: Final = 54322
_EXPOSE: Final = """
place=$(mktemp -d) && mount --bind "$2" "$place" && mount -t tmpfs -o mode=0755 tmpfs "$1" \
&& mkdir -p "$2" && mount --bind "$place" "$2" && shift 2 && exec "$@"
"""
"""Hide a closed folder ($1) in a private mount namespace, except for the interpreter below it ($2)."""

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root can start processes of other accounts, with setpriv",
)


def under(account: int) -> list[str]:
    """Return the beginning of a command that runs under an account, which can read the interpreter."""
    return [*readable(), "setpriv", f"--reuid={account}", f"--regid={account}", "--clear-groups", "--"]


def readable() -> list[str]:
    """Return the beginning of a command for which every account can read the interpreter."""
    closed = _closed_folder()
    if closed is None:
        return []
    prefix = ["unshare", "--mount", "--", "sh", "-c", _EXPOSE, "sh", str(closed), sys.base_prefix]
    if not _works(tuple(prefix)):
        pytest.skip(f"other accounts cannot read {sys.base_prefix}, and a mount namespace is not allowed here")
    return prefix


def run_python(account: int, program: str, argument: str) -> str:
    """Run a program under an account and return its output."""
    command: Sequence[str] = [*under(account), sys.executable, "-I", "-c", program]
    done = subprocess.run(
        command, input=argument, capture_output=True, text=True, timeout=120, check=False, cwd="/", env={}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _closed_folder() -> Path | None:
    """Return the topmost folder above the interpreter that other accounts cannot pass through."""
    base = Path(sys.base_prefix).resolve()
    for folder in reversed((base, *base.parents)):
        if not folder.stat().st_mode & stat.S_IXOTH:
            return folder
    return None


@cache
def _works(prefix: tuple[str, ...]) -> bool:
    return subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
