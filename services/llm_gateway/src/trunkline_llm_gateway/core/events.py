"""Server-sent events: the payloads in a stream of bytes, however the network cut it."""

from __future__ import annotations

from typing import Final

LONGEST_EVENT_BYTES: Final = 1 << 20
"""More than any provider says at once: a longer one is a fault, and is not collected for ever."""


class EventTooLongError(ValueError):
    """A line of the stream does not end."""


class EventReader:
    """Splits bytes into `data:` payloads; comments, names and ids of events are skipped."""

    def __init__(self, longest_bytes: int = LONGEST_EVENT_BYTES) -> None:
        """Begin at the start of a line."""
        self._rest = b""
        self._longest_bytes = longest_bytes

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; returns the payloads that are whole now."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > self._longest_bytes:
            raise EventTooLongError(f"an event is longer than {self._longest_bytes} bytes")
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]

    def end(self) -> list[bytes]:
        """Return the payload of a last line without its line break."""
        rest, self._rest = self._rest, b""
        return [rest[5:].strip()] if rest.startswith(b"data:") else []
