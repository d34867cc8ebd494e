"""Why a suite cannot run as asked. The message is for the person who started it, and says what to change.

SuiteError
+-- NodesError           the data directory was made by another number of NATS servers
+-- PostgresStartError   PostgreSQL cannot be prepared or does not come up here
+-- NotReadyError        a process is not ready in time
"""

from __future__ import annotations


class SuiteError(Exception):
    """The suite cannot run as asked."""


class NodesError(SuiteError):
    """What lies in the data directory was made by another number of nodes."""


class PostgresStartError(SuiteError):
    """PostgreSQL cannot be prepared here."""


class NotReadyError(SuiteError):
    """The suite did not become ready; the message says who and where to look."""
