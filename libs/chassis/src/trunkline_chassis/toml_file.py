"""TOML files of the operator, read completely or rejected with file, line and reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from trunkline_protocols import codec

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")


class TomlFileError(ValueError):
    """An invalid file: `file`, `line` (0: the whole file) and `reason`."""

    def __init__(self, file: Path, reason: str, *, line: int = 0) -> None:
        """Keep the fields; the message combines them."""
        super().__init__(f"{file}:{line}: {reason}" if line else f"{file}: {reason}")
        self.file = file
        self.line = line
        self.reason = reason


def read_toml(file: Path, type_: type[T]) -> T:
    """Read a file as a value of `type_`; raise `TomlFileError`."""
    try:
        return codec.decode_toml(file.read_text(encoding="utf-8-sig"), type_)
    except codec.ValidationError as error:
        keys = re.findall(r"[.`](\w+)", str(error))
        place = re.search(r"\$\.(\w+)\[(\d+)\]", str(error))
        after = line_of_table(file, place[1], int(place[2])) if place else 0
        raise TomlFileError(file, str(error), line=line_of(file, *reversed(keys), after=after) or after) from error
    except codec.DecodeError as error:
        position = re.search(r"line (\d+)", str(error))
        raise TomlFileError(file, str(error), line=int(position[1]) if position else 0) from error
    except (OSError, UnicodeDecodeError) as error:
        raise TomlFileError(file, str(error)) from error


def line_of(file: Path, *keys: str, after: int = 0) -> int:
    """Return the line that sets the first of these keys found after a line of the file, 0 if no key is found."""
    lines = file.read_text(encoding="utf-8-sig").splitlines()
    for key in keys:
        for number, line in enumerate(lines[after:], start=after + 1):
            if re.match(rf"\s*(\[+.*\b)?{re.escape(key)}\b", line):
                return number
    return 0


def line_of_table(file: Path, name: str, position: int) -> int:
    """Return the line that begins a table of an array, by its position from 0; 0 if there are fewer."""
    lines = file.read_text(encoding="utf-8-sig").splitlines()
    found = [number for number, line in enumerate(lines, 1) if re.match(rf"\s*\[\[\s*{re.escape(name)}\s*\]\]", line)]
    return found[position] if position < len(found) else 0
