"""A folder of trained routing artefacts, one file per version: an image or a test run need not train again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import structlog

_log: Final = structlog.get_logger(__name__)


class ArtefactFolder:
    """Artefacts by version; a folder that cannot be used costs a training, nothing else."""

    def __init__(self, folder: Path) -> None:
        """`folder` need not exist."""
        self._folder = folder

    def read(self, version: str) -> bytes | None:
        """Return the stored bytes of a version, None if there are none."""
        try:
            return (self._folder / version).read_bytes()
        except OSError:
            return None

    def write(self, version: str, payload: bytes) -> None:
        """Store an artefact; a reader sees all of it or nothing."""
        unfinished = self._folder / f".{version}.{os.getpid()}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(payload)
            unfinished.replace(self._folder / version)
        except OSError as error:
            _log.warning("routing.not_cached", folder=str(self._folder), reason=error.strerror)
