"""Server-sent events: extracts payloads from a byte stream with arbitrary chunk boundaries."""

from __future__ import annotations

from typing import Final

MAX_EVENT_BYTES: Final = 1 << 20
"""Larger than any provider's event: a longer one is a fault, and its buffer must not grow without limit."""


class EventTooLongError(ValueError):
    """A line or an answer exceeds its size limit."""


class EventReader:
    """Splits bytes into `data:` payloads; comments, names and ids of events are skipped."""

    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        """Start at the beginning of a line."""
        self._rest = b""
        self._max_bytes = max_bytes

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the payloads that are complete."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > self._max_bytes:
            raise EventTooLongError(f"an event is longer than {self._max_bytes} bytes")
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]

    def end(self) -> list[bytes]:
        """Return the payload of a last line without a line break."""
        rest, self._rest = self._rest, b""
        return [rest[5:].strip()] if rest.startswith(b"data:") else []
