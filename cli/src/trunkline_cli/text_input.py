"""Text from outside: arguments and standard streams, whose bytes need not be UTF-8."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable
from typing import Final, TextIO

_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


def readable_arguments(arguments: Iterable[str], exists: Callable[[str], bool] = os.path.lexists) -> list[str]:
    """Return arguments with U+FFFD for each byte that is not UTF-8, except in names of files that exist.

    A byte that is not UTF-8 arrives as a lone surrogate (PEP 383), which no encoder accepts. For `--option=value` the
    value is looked up.
    """
    return [
        argument if exists(argument) or exists(argument.partition("=")[2]) else _without_surrogates(argument)
        for argument in arguments
    ]


def accept_any_bytes() -> None:
    """Read any bytes from stdin, and write any text to stdout and stderr, instead of failing with a traceback."""
    _tolerate(sys.stdin, "replace")
    for stream in (sys.stdout, sys.stderr):
        # As stderr does by default; inside JSON it is an escape again.
        _tolerate(stream, "backslashreplace")


def _without_surrogates(text: str) -> str:
    return "".join(_REPLACEMENT if "\ud800" <= character <= "\udfff" else character for character in text)


def _tolerate(stream: TextIO | None, errors: str) -> None:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=errors)
