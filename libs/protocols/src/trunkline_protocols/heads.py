"""Message in stream HEADS: a signed head of the tree of records."""

from __future__ import annotations

from trunkline_protocols.wire import Wire


class HeadSigned(Wire, frozen=True, kw_only=True, tag="head.signed"):
    """Audit has signed a head: number and root of the records that it has stored.

    `root` and `signature` are in hex, `at` is in microseconds since 1970, as in an export; `key` and `signature` are
    empty without a key.
    """

    log: str
    size: int
    root: str
    at: int
    key: str = ""
    signature: str = ""
