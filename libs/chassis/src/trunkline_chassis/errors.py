"""What can go wrong on the bus, by what the caller should do about it.

BusError
+-- BusUnavailableError   nothing is known of the outcome: try again with the same message id
+-- FenceError            somebody else appended first: read the log and think again
+-- BusRefusedError       the server said no: trying the same again makes no sense
"""

from __future__ import annotations


class BusError(Exception):
    """Something went wrong between a process and NATS."""


class BusUnavailableError(BusError):
    """No answer in time, or no connection."""


class FenceError(BusError):
    """The conversation's log has moved on since it was read."""


class BusRefusedError(BusError):
    """The server refused; `code` is its JetStream error code."""

    def __init__(self, code: int, description: str) -> None:
        """Keep the code for callers that know it."""
        super().__init__(f"{description} ({code})")
        self.code = code
