"""Server-sent events: extracts the data of each event from a byte stream with arbitrary chunk boundaries.

As the standard interprets a stream: lines end in LF, CR or CRLF, a byte order mark may precede the first one, an event
ends at a blank line, and its data lines are joined by LF. Comments, names, ids and retry times are skipped. Data stays
bytes: its decoder handles bytes that are not UTF-8. Unlike in the standard, an event that the end of the stream cuts
off is returned: servers omit the blank line after their last one, and a truncated one is no valid JSON.
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from typing import Final

MAX_EVENT_BYTES: Final = 1 << 20
"""Larger than any provider's event: a longer one is a fault, and its buffer must not grow without limit."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_END_OF_EVENT: Final = b"\n\n"


class EventTooLongError(ValueError):
    """An event or an answer exceeds its size limit."""


class EventReader:
    """Splits bytes into the data of events."""

    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        """Start at the beginning of a stream."""
        self._max_bytes = max_bytes
        self._held: list[bytes] = []
        """Parts of the event in progress."""
        self._held_bytes = 0
        self._is_first = True
        self._follows_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the data of the events that are complete."""
        if not self._held and data.endswith(_END_OF_EVENT) and data.startswith(b"data: ") and _is_one_line(data):
            # The usual chunk of a stream.
            self._is_first = self._follows_cr = False
            return [data[6:-2]]
        if self._follows_cr and data:
            data = data.removeprefix(b"\n")
            self._follows_cr = False
        if b"\r" in data:
            self._follows_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in data:
            self._hold(data)
            return []
        *events, rest = self._take(data).split(_END_OF_EVENT)
        self._hold(rest)
        return [found for event in events if (found := _data(event)) is not None]

    def end(self) -> list[bytes]:
        """Return the data of an event that the end of the stream completes."""
        data = _data(self._take(b""))
        return [data] if data is not None else []

    def _take(self, data: bytes) -> bytes:
        """Return the held bytes and the next ones, without the byte order mark."""
        taken = b"".join([*self._held, data])
        self._held.clear()
        self._held_bytes = 0
        if self._is_first:
            self._is_first = False
            taken = taken.removeprefix(_BYTE_ORDER_MARK)
        return taken

    def _hold(self, data: bytes) -> None:
        if not data:
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > self._max_bytes:
            raise EventTooLongError(f"an event is longer than {self._max_bytes} bytes")


def _is_one_line(data: bytes) -> bool:
    """Return whether bytes that end with a blank line are one event of one line."""
    return data.find(b"\n") == len(data) - len(_END_OF_EVENT) and data.find(b"\r") < 0


def _data(event: bytes) -> bytes | None:
    """Return the data of an event, None if it has none."""
    if event.startswith(b"data:") and b"\n" not in event:
        return event[6:] if event.startswith(b" ", 5) else event[5:]
    lines = [_value(line) for line in event.split(b"\n") if line.startswith(b"data:") or line == b"data"]
    return b"\n".join(lines) if lines else None


def _value(line: bytes) -> bytes:
    """Return what follows the colon and one space."""
    return line[5:].removeprefix(b" ")
