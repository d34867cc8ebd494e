"""A disk that can be filled: a small tmpfs, mounted where a server keeps its state."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK = bytes(64 * 1024)
_WRITTEN_BYTES = 4 << 20
"""The last bytes are written, since a file system keeps some blocks from a reservation."""


class Disk:
    """A mounted file system."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the mount point."""
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Fill the disk to the last byte."""
        file = os.open(self._ballast, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        stat = os.statvfs(self.folder)
        reserved = max(1, stat.f_bavail * stat.f_frsize - _WRITTEN_BYTES)
        try:
            os.posix_fallocate(file, 0, reserved)
            for chunk in (_CHUNK, b"x"):
                with contextlib.suppress(OSError):
                    while True:
                        os.write(file, chunk)
        finally:
            os.close(file)

    def clear(self) -> None:
        """Remove the ballast."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def mounted(folder: Path, *, mib: int) -> Iterator[Disk | None]:
    """Mount a disk of `mib` MiB for the block; yield None if mounting is not permitted."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        yield None
        return
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
