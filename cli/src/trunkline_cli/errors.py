"""The error of a command, shown as one line on stderr."""

from __future__ import annotations


class CommandError(Exception):
    """A failed command; the message names the cause and its location."""

    def __init__(self, message: str, *, exit_status: int = 1) -> None:
        """Keep the exit status of the command."""
        super().__init__(message)
        self.exit_status = exit_status
