"""Limits of parsing: size, processor time, elapsed time, memory and depth of one file."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

import msgspec
from trunkline_protocols.knowledge import ArticleFile, ImportProblem

MAX_DEPTH: Final = 200
"""Maximum nesting of elements in a page; real pages have fewer than fifty."""

MAX_OPEN_TAGS: Final = 1_000
"""Maximum number of open tags in the source of a page; old pages leave some open, which nest or are closed later."""

MAX_HEADER_DEPTH: Final = 8
"""Maximum nesting of front matter; the fields that are read need two."""

_MIB: Final = 1024 * 1024
_EXTRA_S_PER_MIB: Final = 10.0
_PIECE_SIZE: Final = 256 * 1024
_BATCH_PIECES: Final = 64
_BATCH_SIZE: Final = 512 * 1024
_WIDE_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
LINES_SUFFIX: Final = ".jsonl"
"""Suffix of JSON Lines, the one format that is read in pieces."""


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """Limits of one file; the time grows by ten seconds with each MiB, since long PDFs are slow to read."""

    time_s: float = 3.0
    """Processor time of a small file; twice as much may elapse."""
    memory_mib: int = 256
    """Address space of the parser process."""
    file_mib: int = 64

    def cpu_s(self, size: int) -> float:
        """Return the processor time for a file of `size` bytes."""
        return self.time_s + _EXTRA_S_PER_MIB * (size // _MIB)

    def elapsed_s(self, size: int) -> float:
        """Return the time after which the parser is ended: a parser that waits uses no processor time."""
        return 2 * self.cpu_s(size)

    def too_large(self, name: str, size: int) -> ImportProblem | None:
        """Return the problem of a file that exceeds the size limit."""
        if size <= self.file_mib * _MIB:
            return None
        return ImportProblem(name=name, reason=f"{size} bytes, at most {self.file_mib} MiB are accepted")


class FilePiece(msgspec.Struct, frozen=True, array_like=True):
    """The unit of parsing: a file, or some lines of a JSON Lines file."""

    file: ArticleFile
    first_line: int = 1
    is_partial: bool = False

    @property
    def size(self) -> int:
        """Number of characters or bytes."""
        return len(self.file.content) + len(self.file.data)

    @property
    def name(self) -> str:
        """Name for problems of the whole piece."""
        return f"{self.file.name}, from line {self.first_line}" if self.is_partial else self.file.name


def split_into_pieces(file: ArticleFile) -> Iterator[FilePiece]:
    """Split JSON Lines between lines into pieces of about 256 kB; other files are one piece."""
    is_split = PurePath(file.name).suffix.lower() == LINES_SUFFIX
    if not is_split or len(file.content) + len(file.data) <= _PIECE_SIZE or file.data.startswith(_WIDE_MARKS):
        yield FilePiece(file)
        return
    first_line = 1
    for piece in _line_ranges(file.content):
        content = file.content[piece]
        yield FilePiece(msgspec.structs.replace(file, content=content, data=b""), first_line, is_partial=True)
        first_line += content.count("\n")
    for piece in _line_ranges(file.data):
        data = file.data[piece]
        yield FilePiece(msgspec.structs.replace(file, content="", data=data), first_line, is_partial=True)
        first_line += data.count(b"\n")


def _line_ranges(content: str | bytes) -> Iterator[slice]:
    """Yield ranges of whole lines; a line feed is the same byte in every encoding but UTF-16 and UTF-32."""
    start = 0
    while start < len(content):
        begun = start + _PIECE_SIZE
        end = content.find("\n", begun) if isinstance(content, str) else content.find(b"\n", begun)
        end = end + 1 or len(content)
        yield slice(start, end)
        start = end


def batches(files: Iterable[ArticleFile], limits: ParseLimits) -> Iterator[list[FilePiece] | ImportProblem]:
    """Group the pieces of files, read one after another, into batches, and report files that are too large.

    A large piece is a batch of its own: if it is too large to be received, no other piece is blamed.
    """
    batch: list[FilePiece] = []
    size = 0
    for file in files:
        if problem := limits.too_large(file.name, len(file.content) + len(file.data)):
            yield problem
            continue
        for piece in split_into_pieces(file):
            if batch and (len(batch) == _BATCH_PIECES or size + piece.size > _BATCH_SIZE):
                yield batch
                batch, size = [], 0
            batch.append(piece)
            size += piece.size
    if batch:
        yield batch
