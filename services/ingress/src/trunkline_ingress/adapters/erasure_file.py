"""List of the erasures in a file: one receipt a line, appended and never changed. Several processes may write it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import structlog
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec
from trunkline_protocols.customer_keys import CustomerErased

_log: Final = structlog.get_logger(__name__)
_PRIVATE: Final = 0o600


class ErasureFile:
    """Reads and extends the list; without a file it is empty and stays so."""

    def __init__(self, file: Path | None) -> None:
        """The file is created with the first erasure."""
        self._file = file

    def read(self) -> dict[str, CustomerErased]:
        """Return the erasures by the id of their key; a line that cannot be decoded is reported and skipped."""
        if self._file is None or not self._file.exists():
            return {}
        found = {}
        for line in self._file.read_bytes().splitlines():
            try:
                erased = codec.customer_erased.decode(line)
            except codec.DecodeError as error:
                report_undecodable("erasures", self._file.name, error)
                continue
            found[erased.key] = erased
        return found

    def append(self, erasures: Iterable[CustomerErased]) -> None:
        """Add erasures and wait until they are on the disk; a failure is logged: the stream has them too."""
        lines = b"".join(codec.encode(erased) + b"\n" for erased in erasures)
        if self._file is None or not lines:
            return
        try:
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _PRIVATE)
            try:
                os.write(descriptor, lines)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            _log.error("erasure.file_failed", error=error.strerror)
