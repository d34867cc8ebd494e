"""Room on the disk that a server writes to."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Final

ENOUGH: Final = 32 * 2**20
"""Bytes. With less, a server that is started stops again at once."""

_LOOK_EVERY_S: Final = 0.25


def has_room(folder: Path) -> bool:
    """Whether a server can write here."""
    return shutil.disk_usage(folder).free >= ENOUGH


def wait_for_room(folder: Path, longest_s: float) -> None:
    """Put a start off for so long while the disk is full: it would be one more death of a crash loop."""
    until = time.monotonic() + longest_s
    while not has_room(folder) and time.monotonic() < until:
        time.sleep(_LOOK_EVERY_S)
