"""Tree heads of a log, signed with an Ed25519 key that is derived from a secret."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from trunkline_audit.core.heads import TreeHead, signed_text
from trunkline_audit.core.merkle import GrowingTree

_PURPOSE: Final = b"trunkline head key 1\n"
_NAME_CHARACTERS: Final = 32


class HeadSigner:
    """Makes the heads of one log."""

    def __init__(self, log: str, secret: str, *, now: Callable[[], datetime]) -> None:
        """`log` names the tree, after its region; with an empty secret, heads are not signed."""
        self.log = log
        self._now = now
        self._key = _key_of(secret) if secret else None
        self.public_key = (
            self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) if self._key is not None else b""
        )
        """The 32 bytes that verify a signature; empty without a key."""
        self.key_name = hashlib.sha256(self.public_key).hexdigest()[:_NAME_CHARACTERS] if self.public_key else ""

    def head_of(self, tree: GrowingTree) -> TreeHead:
        """Return the head of a tree as it is now."""
        head = TreeHead(self.log, tree.size, tree.root, self._now(), self.key_name)
        return replace(head, signature=self._key.sign(signed_text(head))) if self._key is not None else head


def _key_of(secret: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(_PURPOSE + secret.encode()).digest())
