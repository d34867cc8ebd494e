"""Which of the client's message ids a conversation may have had: a Bloom filter of a fixed size.

It never denies an id that was added, so what it denies is certainly new. What it grants may be new too: 1 id of 120
after 75, 1 of 5 after 300. Empty bytes hold nothing.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

_BYTES: Final = 128
_HASHES: Final = 3
_BITS: Final = 8 * _BYTES


def with_id(seen: bytes, message_id: str) -> bytes:
    """Return the filter with one id more."""
    return (int.from_bytes(seen, "big") | _mask(message_id)).to_bytes(_BYTES, "big")


def may_hold(seen: bytes, message_id: str) -> bool:
    """Whether an id may have been added; False is certain."""
    mask = _mask(message_id)
    return int.from_bytes(seen, "big") & mask == mask


def _mask(message_id: str) -> int:
    digest = blake2b(message_id.encode(errors="surrogatepass"), digest_size=4 * _HASHES).digest()
    mask = 0
    for start in range(0, len(digest), 4):
        mask |= 1 << int.from_bytes(digest[start : start + 4], "big") % _BITS
    return mask
