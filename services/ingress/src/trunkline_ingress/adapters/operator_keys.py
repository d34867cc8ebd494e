"""Named operator keys in a TOML file, reloaded when it changes. The file has hashes only.

    [[operator]]
    name = "Ada"
    role = "lead"
    sha256 = "<hex digest of the key>"
    regions = ["eu"]    optional: suites of other regions refuse the key

Keys have 256 random bits (docs/operations.md), so that a plain digest cannot be searched. If a changed file
cannot be read, the last readable one holds and an error is logged; an empty file revokes every key.
"""

from __future__ import annotations

import asyncio
import hashlib
import stat
from pathlib import Path
from typing import Annotated, Final

import msgspec
import structlog
from msgspec import Meta
from trunkline_chassis.settings import SettingsError
from trunkline_protocols.decoding import decode_toml
from trunkline_protocols.fleet import Region

from trunkline_ingress.core.operators import Operator, Role

_log: Final = structlog.get_logger(__name__)
_POLL_INTERVAL_S: Final = 1.0
_MAX_BYTES: Final = 1024 * 1024


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\S")]
    role: Role
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    regions: list[Region] = []


class _File(msgspec.Struct, forbid_unknown_fields=True):
    operator: list[_Entry] = []


class OperatorKeyFile:
    """The operators of a file, by the digests of their keys."""

    def __init__(self, file: Path) -> None:
        """Read the file; raise `SettingsError` if it cannot be read."""
        self._file = file
        self._version: object = None
        self._operators: dict[str, Operator] = {}
        try:
            self.load()
        except (OSError, ValueError) as error:
            raise SettingsError(f"TRUNKLINE_OPERATOR_KEYS: {file}: {error}") from error

    def find(self, token: str) -> Operator | None:
        """Return the operator of a key, None if no entry has it."""
        return self._operators.get(hashlib.sha256(token.encode()).hexdigest())

    async def run(self) -> None:
        """Follow changes of the file, until cancelled."""
        while True:
            await asyncio.sleep(_POLL_INTERVAL_S)
            try:
                changed = await asyncio.to_thread(self.load)
            except (OSError, ValueError) as error:
                _log.error("operators.unreadable", file=str(self._file), error=type(error).__name__)
            else:
                if changed:
                    _log.info("operators.loaded", operators=len(self._operators))

    def load(self) -> bool:
        """Read the file if it has changed; return whether it has. Raises `OSError` or `ValueError`."""
        status = self._file.stat()
        version = (status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode)
        if version == self._version:
            return False
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ValueError("must not be writable by group or others")
        if status.st_size > _MAX_BYTES:
            raise ValueError(f"is larger than {_MAX_BYTES} bytes")
        entries = decode_toml(self._file.read_text(encoding="utf-8-sig"), _File).operator
        operators = {
            entry.sha256: Operator(name=entry.name.strip(), role=entry.role, regions=frozenset(entry.regions))
            for entry in entries
        }
        if len(operators) != len(entries):
            raise ValueError("a key is defined twice")
        self._operators, self._version = operators, version
        return True
