"""Secrets that are generated once and kept in files of the data directory."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from trunkline_supervisor.core.errors import SuiteError


def write_secret(file: Path, text: str) -> None:
    """Write a file that only its owner can read, atomically and durably; an existing one is replaced."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        # Else a power cut can leave the new name with an empty file.
        os.fsync(handle.fileno())
    draft.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load_or_create_secret(file: Path) -> str:
    """Read a secret; if the file does not exist or is empty, generate one that only its owner can read.

    Raises `SuiteError` if the file cannot be read: another secret would not open what this one has closed.
    """
    try:
        known = file.read_text(encoding="utf-8-sig").strip() if file.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SuiteError(f"cannot read the secret {file}: {reason}") from error
    if known:
        return known
    drawn = secrets.token_hex(32)
    write_secret(file, drawn)
    return drawn
