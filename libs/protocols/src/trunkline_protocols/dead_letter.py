"""Message in stream DEAD_LETTERS."""

from __future__ import annotations

from trunkline_protocols.wire import Wire


class DeadLetter(Wire, frozen=True, kw_only=True, tag="dead_letter"):
    """A message that could not be handled, kept for inspection and replay."""

    stream: str
    consumer: str
    subject: str
    sequence: int
    deliveries: int
    reason: str
    payload: str
    """Original payload, its texts as the stream holds them; invalid UTF-8 is replaced. Empty for stream WORK."""
    at: float
