"""Free space on the disk that a server writes to."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Final

MIN_FREE_BYTES: Final = 32 * 2**20
"""With less, a server that is started stops again at once."""

_POLL_INTERVAL_S: Final = 0.25


def has_free_space(folder: Path) -> bool:
    """Return whether a server can write to a folder."""
    return shutil.disk_usage(folder).free >= MIN_FREE_BYTES


def wait_for_free_space(folder: Path, timeout_s: float) -> None:
    """Block while the disk is full, up to a timeout: a start would be one more death of a crash loop."""
    deadline = time.monotonic() + timeout_s
    while not has_free_space(folder) and time.monotonic() < deadline:
        time.sleep(_POLL_INTERVAL_S)
