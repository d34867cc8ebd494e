"""The one error that a person sees as one line on stderr."""

from __future__ import annotations


class CommandError(Exception):
    """The command cannot do what was asked; the message says what is wrong and where."""
