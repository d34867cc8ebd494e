"""Folders that processes write to while a test reads them: a file may be renamed or removed at any moment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def paths(folder: Path) -> Iterator[Path]:
    """Yield everything below a folder that was there a moment ago."""
    for parent, folders, names in os.walk(folder):
        yield from (Path(parent) / name for name in (*folders, *names))


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield every regular file below a folder with its content, which may be half written."""
    for path in paths(folder):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and not path.is_symlink():
                yield path, path.read_bytes()
