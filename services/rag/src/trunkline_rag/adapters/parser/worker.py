"""The parser process: `python -m trunkline_rag.adapters.parser.worker DESCRIPTOR MEMORY_MIB TIME_S`.

It reads batches of pieces from a socket and replies to each piece. It has no environment of its parent, and its limits
hold before the first file is read: address space, processor time of a piece, no files written, no processes started.
"""

from __future__ import annotations

import logging
import math
import os
import resource
import socket
import sys
from pathlib import Path
from typing import Final

from trunkline_protocols.knowledge import ImportProblem

from trunkline_rag.adapters.parser.frames import (
    OUT_OF_MEMORY,
    READY,
    ParsedPiece,
    decode_pieces,
    encode,
    receive_frame,
    send_frame,
)
from trunkline_rag.core.articles import Document, parse
from trunkline_rag.core.articles.limits import FilePiece, ParseLimits

_MIB: Final = 1024 * 1024
_MAX_OPEN_FILES: Final = 64
"""Enough for modules that are imported late."""
_STDERR: Final = 2


def main() -> None:
    """Serve until the parent closes the socket, or until earlier files have left too little memory to the next ones."""
    descriptor, memory_mib, time_s = sys.argv[1:]
    limits = ParseLimits(time_s=float(time_s), memory_mib=int(memory_mib))
    with socket.socket(fileno=int(descriptor)) as parent:
        _silence()
        _limit_process(limits)
        try:
            send_frame(parent, READY)
            while _used_mib() < limits.memory_mib / 2:
                _serve(parent, limits)
        except (EOFError, OSError):
            return
        except MemoryError:
            os._exit(OUT_OF_MEMORY)


def _serve(parent: socket.socket, limits: ParseLimits) -> None:
    """Reply to each piece of a batch; a batch is received as a whole, so that neither side waits for the other."""
    for piece in decode_pieces(receive_frame(parent)):
        _limit_time(limits.cpu_s(piece.size))
        send_frame(parent, encode(_parse(piece)))


def _parse(piece: FilePiece) -> ParsedPiece:
    documents: list[Document] = []
    problems: list[ImportProblem] = []
    for item in parse(piece.file, piece.first_line):
        if isinstance(item, Document):
            documents.append(item)
        else:
            problems.append(item)
    return ParsedPiece(documents, problems)


def _silence() -> None:
    """Discard messages of parsers: they may quote the file. Errors of the start have been written by now."""
    logging.disable()
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), _STDERR)


def _limit_process(limits: ParseLimits) -> None:
    _lower(resource.RLIMIT_AS, limits.memory_mib * _MIB)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_NPROC, 0)
    _lower(resource.RLIMIT_NOFILE, _MAX_OPEN_FILES)


def _lower(limit: int, value: int) -> None:
    """Lower a limit for good; one that is already lower stays."""
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def _used_mib() -> float:
    """Return the size of the address space."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize() / _MIB


def _limit_time(seconds: float) -> None:
    """Have the kernel end this process (SIGXCPU) if the next piece needs more processor time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    until = math.ceil(used.ru_utime + used.ru_stime + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (until if hard == resource.RLIM_INFINITY else min(until, hard), hard))


if __name__ == "__main__":
    main()
