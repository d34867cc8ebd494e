"""Errors of a suite that cannot run as requested. The message is for the operator and names the remedy.

SuiteError
+-- NodesError           the data directory belongs to another number of NATS servers
+-- PostgresStartError   PostgreSQL cannot be prepared or does not come up
+-- NotReadyError        a process did not become ready within the timeout
"""

from __future__ import annotations


class SuiteError(Exception):
    """The suite cannot run as requested."""


class NodesError(SuiteError):
    """The data directory was created by another number of NATS servers."""


class PostgresStartError(SuiteError):
    """PostgreSQL cannot be prepared or started on this machine."""


class NotReadyError(SuiteError):
    """The suite did not become ready; the message names the process and its log file."""
