"""Log files that logrotate renames: on SIGHUP a process opens the file behind its output again, by name."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

_MODE: Final = 0o640
_OUTPUT: Final = (1, 2)
_DELETED: Final = " (deleted)"


class LogFiles:
    """The regular files behind some descriptors, as they were named at the start."""

    def __init__(self, descriptors: tuple[int, ...] = _OUTPUT) -> None:
        """Read the names now: after a rename they are lost."""
        self._files = {number: file for number in descriptors if (file := _file_behind(number)) is not None}

    def reopen(self) -> None:
        """Let each descriptor write into the file of its former name, created if logrotate has renamed it.

        If that is impossible, output goes on into the old file.
        """
        for number, file in self._files.items():
            try:
                opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, _MODE)
            except OSError:
                continue
            os.fchmod(opened, _MODE)
            os.dup2(opened, number)
            os.close(opened)


def has_terminal() -> bool:
    """Return whether the process has a terminal that is open: without one, a hangup may come from its end."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _file_behind(number: int) -> Path | None:
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            return None
        name = str(Path(f"/proc/self/fd/{number}").readlink())
    except OSError:
        return None
    return None if name.endswith(_DELETED) else Path(name)
