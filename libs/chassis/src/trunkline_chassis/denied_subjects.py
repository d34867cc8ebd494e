"""Subjects that the account of a process may not publish to, as the server has reported them.

The server reports a denied message on the connection and gives the request no reply, so that it looks like a server
that is cut off: without this, each request moved the connection to another server again and again.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

import structlog

from trunkline_chassis.errors import PublishDeniedError
from trunkline_chassis.logs import reason_of

_log: Final = structlog.get_logger(__name__)
_DENIED: Final = re.compile(r'permissions violation for publish to "([^"]+)"', re.IGNORECASE)
_MAX_SUBJECTS: Final = 1_000


class DeniedSubjects:
    """The last denial of each subject; a change of the accounts may permit it again at any time."""

    def __init__(self) -> None:
        """Start without any."""
        self._denied_at: dict[str, float] = {}

    def report(self, error: Exception) -> None:
        """Log an error of the connection, and keep its subject if it is a denial."""
        _log.warning("bus.error", error=reason_of(error))
        found = _DENIED.search(str(error))
        if found is None:
            return
        if len(self._denied_at) >= _MAX_SUBJECTS:
            self._denied_at.clear()
        self._denied_at[found[1]] = asyncio.get_running_loop().time()

    def check(self, subject: str, *, since: float) -> None:
        """Raise `PublishDeniedError` if a message to the subject was denied at or after a time of the event loop."""
        if self._denied_at.get(subject, float("-inf")) >= since:
            raise PublishDeniedError(subject)
