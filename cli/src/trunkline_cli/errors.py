"""The error of a command, shown as one line on stderr."""

from __future__ import annotations


class CommandError(Exception):
    """A failed command; the message names the cause and its location."""
