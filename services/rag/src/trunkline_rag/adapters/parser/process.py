"""Client of the parser process: starts it, sends batches, ends it when a file exceeds its time, and replaces it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from trunkline_protocols.decoding import DecodeError
from trunkline_protocols.knowledge import ArticleFile, ImportProblem

from trunkline_rag.adapters.parser.frames import (
    MAX_REPLY_BYTES,
    OUT_OF_MEMORY,
    READY,
    ParsedPiece,
    decode_parsed,
    encode,
    receive_frame,
    send_frame,
)
from trunkline_rag.core.articles.document import ParsedItem
from trunkline_rag.core.articles.limits import FilePiece, ParseLimits, batches
from trunkline_rag.ports import ParserUnavailableError

_WORKER: Final = "trunkline_rag.adapters.parser.worker"
_START_TIMEOUT_S: Final = 60.0
_SEND_TIMEOUT_S: Final = 60.0
_END_TIMEOUT_S: Final = 5.0


class ParserProcess:
    """One parser process at a time; started by the first file, or early by `start`."""

    def __init__(self, limits: ParseLimits, *, on_replaced: Callable[[ImportProblem], None] | None = None) -> None:
        """Start nothing yet. `on_replaced` is called for each file that its process has been ended for."""
        self._limits = limits
        self._on_replaced = on_replaced
        self._worker: _Worker | None = None
        self._is_closed = False
        self._mutex = threading.Lock()

    def start(self) -> None:
        """Start the process without waiting for it."""
        if self._worker is None:
            self._worker = _Worker(self._limits)

    def close(self) -> None:
        """End the process; a running `parse` raises `ParserUnavailableError`."""
        self._is_closed = True
        self._end_worker()

    def parse(self, files: Iterable[ArticleFile], *, timeout_s: float | None = None) -> Iterator[ParsedItem]:
        """Parse files in order; a file over a limit, or not read before the timeout, is reported as a problem.

        Raises `ParserUnavailableError` if no parser process can be started.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._mutex:
            for batch in batches(files, self._limits):
                if isinstance(batch, ImportProblem):
                    yield batch
                else:
                    yield from self._parse_batch(batch, deadline)

    def _parse_batch(self, pieces: list[FilePiece], deadline: float | None) -> Iterator[ParsedItem]:
        while pieces:
            if deadline is not None and time.monotonic() > deadline:
                yield from (ImportProblem(name=piece.name, reason="not read: no time left") for piece in pieces)
                return
            worker = self._ready_worker()
            was_new, done, is_finished = worker.is_new, 0, False
            try:
                for parsed in worker.parse(pieces):
                    done += 1
                    yield from parsed.documents
                    yield from parsed.problems
                is_finished = True
            except _WorkerLostError as lost:
                # A process may end for another reason than its file, which a new process can read then.
                if lost.is_over_limit or (was_new and done == 0):
                    problem = ImportProblem(name=pieces[done].name, reason=lost.reason)
                    if self._on_replaced is not None:
                        self._on_replaced(problem)
                    done += 1
                    yield problem
            finally:
                # Also if the caller stops in mid-batch: the remaining replies must not be read as those of the next.
                if not is_finished:
                    self._end_worker()
            pieces = pieces[done:]

    def _ready_worker(self) -> _Worker:
        """Return the running worker, or start another one if it has ended."""
        if self._worker is not None and self._worker.has_ended:
            self._end_worker()
        if self._is_closed:
            raise ParserUnavailableError("the parser is closed")
        self.start()
        assert self._worker is not None  # noqa: S101 - set by `start`
        try:
            self._worker.wait_until_ready()
        except ParserUnavailableError:
            self._end_worker()
            raise
        return self._worker

    def _end_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()


class _WorkerLostError(Exception):
    """A worker has ended, or was ended, while it parsed a piece."""

    def __init__(self, reason: str, *, is_over_limit: bool = False) -> None:
        """Take the reason for the piece's problem."""
        super().__init__(reason)
        self.reason = reason
        self.is_over_limit = is_over_limit


class _Worker:
    """A running process and the socket to it."""

    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits
        self._is_ready = False
        self.is_new = True
        """It has not parsed anything yet."""
        self._peer, theirs = socket.socketpair()
        arguments = (str(theirs.fileno()), str(limits.memory_mib), str(limits.time_s))
        with theirs:
            # Isolated: neither the environment, which holds secrets, nor the working directory is used.
            self._process = subprocess.Popen(  # noqa: S603 - own module, arguments are numbers
                [sys.executable, "-I", "-X", "utf8", "-m", _WORKER, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={},
                cwd="/",
            )

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def wait_until_ready(self) -> None:
        """Wait for the end of the start; raise `ParserUnavailableError`."""
        if self._is_ready:
            return
        try:
            self._is_ready = receive_frame(self._peer, timeout_s=_START_TIMEOUT_S, max_bytes=len(READY)) == READY
        except (EOFError, OSError) as error:
            raise ParserUnavailableError(f"the parser process does not start: {error}") from error

    def parse(self, pieces: list[FilePiece]) -> Iterator[ParsedPiece]:
        """Yield the reply to each piece; raise `_WorkerLostError` at the piece that has no reply."""
        try:
            self._peer.settimeout(_SEND_TIMEOUT_S)
            send_frame(self._peer, encode(pieces))
        except OSError as error:
            raise self._lost(pieces[0]) from error
        for piece in pieces:
            timeout_s = self._limits.elapsed_s(piece.size)
            try:
                parsed = decode_parsed(receive_frame(self._peer, timeout_s=timeout_s, max_bytes=MAX_REPLY_BYTES))
            except TimeoutError as error:
                raise _WorkerLostError(f"takes longer than {timeout_s:g} s to read", is_over_limit=True) from error
            except (EOFError, OSError, DecodeError) as error:
                raise self._lost(piece) from error
            self.is_new = False
            yield parsed

    def _lost(self, piece: FilePiece) -> _WorkerLostError:
        """Return the error for a process that has closed its socket, from its exit status."""
        try:
            status = self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            status = None
        if status == -signal.SIGXCPU:
            seconds = self._limits.cpu_s(piece.size)
            return _WorkerLostError(f"takes longer than {seconds:g} s of processor time to read", is_over_limit=True)
        # Native code aborts when it gets no memory.
        if status in {OUT_OF_MEMORY, -signal.SIGABRT}:
            return _WorkerLostError(
                f"needs more than {self._limits.memory_mib} MiB of memory to read", is_over_limit=True
            )
        return _WorkerLostError(f"cannot be read: the parser has ended with status {status}")

    def end(self) -> None:
        """Kill the process."""
        self._peer.close()
        self._process.kill()
        self._process.wait()
