"""The link to the console that `trunkline up` prints: it works once, and a new one is drawn at every start."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def draw_console_link(file: Path) -> str:
    """Draw a code, keep it in a file that only its owner can read, and return it; an earlier code becomes invalid."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    code = secrets.token_urlsafe(32)
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as handle:
        handle.write(code)
    draft.replace(file)
    return code
