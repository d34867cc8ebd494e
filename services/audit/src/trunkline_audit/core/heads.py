"""Tree heads: the root of the tree of records at one size, signed."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime

from trunkline_audit.core.leaves import microseconds


@dataclass(frozen=True, slots=True)
class TreeHead:
    """Size and root of the tree of a log at a time.

    `signature` is Ed25519 over `signed_text`, by the key named `key`; both are empty if audit has no key.
    """

    log: str
    size: int
    root: bytes
    at: datetime
    key: str = ""
    signature: bytes = b""


def signed_text(head: TreeHead) -> bytes:
    """Return the bytes that a signature covers, one field to a line."""
    root = base64.b64encode(head.root).decode()
    return f"trunkline head 1\n{head.log}\n{head.size}\n{root}\n{microseconds(head.at)}\n".encode()
