"""Rows of a JSON Lines file of a bench; errors name file and line."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from trunkline_protocols import codec

from trunkline_cli.errors import CommandError

T = TypeVar("T")


def read_rows(file: Path, type_: type[T]) -> list[T]:
    """Read one row per line; raise `CommandError` if a line is invalid or the file has no row."""
    rows: list[T] = []
    decoder = codec.Decoder[T](type_)
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(without_mark(lines), start=1):
                if line.strip():
                    rows.append(_row(decoder, file, number, line))
    except OSError as error:
        raise CommandError(f"{file}: {error}") from error
    if not rows:
        raise CommandError(f"{file}: the file has no row")
    return rows


def without_mark(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file without the byte order mark of the first one."""
    for number, line in enumerate(lines):
        yield line if number else line.removeprefix(BOM_UTF8)


def _row(decoder: codec.Decoder[T], file: Path, number: int, line: bytes) -> T:
    try:
        return decoder.decode(line)
    except codec.DecodeError as error:
        raise CommandError(f"{file}:{number}: {error}") from error


def percentile(values: list[float], share: float) -> float:
    """Return the value below which a share (0 to 1) of the values lies."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
