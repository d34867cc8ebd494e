"""Error reply that every requester understands."""

from __future__ import annotations

from trunkline_protocols.wire import Wire


class Refused(Wire, frozen=True, kw_only=True, tag="refused"):
    """Error reply to any request; `retryable` if a later attempt may succeed."""

    code: str
    message: str
    retryable: bool
