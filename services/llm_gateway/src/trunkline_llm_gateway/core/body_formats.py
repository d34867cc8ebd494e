"""Formats of a response's body, recognised by its first bytes: content types are not reliable.

Proxies send events as `text/plain`, and a JSON error as `text/event-stream`.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

BodyFormat: TypeAlias = Literal["events", "json", "unknown"]

_EVENT_STREAM: Final = "text/event-stream"
_PLAIN: Final = frozenset({"text/plain", "application/octet-stream", "application/x-ndjson", "application/json", ""})
_BLANK: Final = b"\xef\xbb\xbf \t\r\n"
_FIELDS: Final = (b"data:", b"event:", b"id:", b"retry:")


def body_format(content_type: str, head: bytes) -> BodyFormat:
    """Return the format of a body that begins with `head`, which is empty if there is no body."""
    begun = head.lstrip(_BLANK)
    is_json = begun.startswith((b"{", b"["))
    if content_type == _EVENT_STREAM:
        return "json" if is_json else "events"
    if content_type not in _PLAIN and not content_type.endswith("+json"):
        return "unknown"
    if is_json:
        return "json"
    return "events" if begun and _is_field(begun) else "unknown"


def is_blank(head: bytes) -> bool:
    """Return whether bytes hold nothing that tells the format yet."""
    return not head.strip(_BLANK)


def _is_field(begun: bytes) -> bool:
    """Return whether bytes begin a comment or a field of an event, which may be cut."""
    return begun.startswith(b":") or any(begun.startswith(field[: len(begun)]) for field in _FIELDS)
