"""Tree heads: the root of the tree of records at one size, signed."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from trunkline_protocols.heads import HeadSigned

from trunkline_audit.core.leaves import microseconds

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


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


def message_of(head: TreeHead) -> HeadSigned:
    """Return the message that publishes a head."""
    return HeadSigned(
        log=head.log,
        size=head.size,
        root=head.root.hex(),
        at=microseconds(head.at),
        key=head.key,
        signature=head.signature.hex(),
    )


def head_of(message: HeadSigned) -> TreeHead:
    """Return the head of a message; raise `ValueError` if a field is not hex or no time."""
    try:
        at = _EPOCH + timedelta(microseconds=message.at)
    except OverflowError as error:
        raise ValueError("at is no time") from error
    root, signature = bytes.fromhex(message.root), bytes.fromhex(message.signature)
    return TreeHead(message.log, message.size, root, at, message.key, signature)


def last_of_each_second(heads: Sequence[TreeHead]) -> list[TreeHead]:
    """Return the last head of each second; `heads` are in the order of their times."""
    by_second = {head.at.replace(microsecond=0): head for head in heads}
    return list(by_second.values())
