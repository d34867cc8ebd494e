"""An exclusive lock on a folder, released when its process ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trunkline_supervisor.core.errors import SuiteError


@contextmanager
def exclusive_lock(data_dir: Path) -> Iterator[None]:
    """Hold the lock of a data directory, with the process id: two suites would destroy each other's state."""
    with (data_dir / "lock").open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SuiteError(f"another suite runs in {data_dir}; choose another one with --data-dir") from error
        # For `kill -HUP "$(cat lock)"`, see deploy/logrotate.
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
