"""Messages between a process and its parser: msgpack with a length in front."""

from __future__ import annotations

import socket
import time
from typing import Final

import msgspec
from trunkline_protocols.decoding import Decoder
from trunkline_protocols.knowledge import ImportProblem

from trunkline_rag.core.articles.document import Document
from trunkline_rag.core.articles.limits import FilePiece

OUT_OF_MEMORY: Final = 100
"""Exit status of a parser that has reached its memory limit."""

READY: Final = b"ready"
"""First frame of a parser, sent once its limits hold."""

MAX_REPLY_BYTES: Final = 16 * 1024 * 1024
"""More than any piece whose articles are accepted."""

_LENGTH_BYTES: Final = 4
_LEAST_TIMEOUT_S: Final = 0.001
"""A timeout of 0 would mean a socket that never waits."""


class ParsedPiece(msgspec.Struct, frozen=True, array_like=True):
    """Reply to one piece."""

    documents: list[Document]
    problems: list[ImportProblem]


encode: Final = msgspec.msgpack.Encoder().encode
decode_pieces: Final = Decoder[list[FilePiece]](list[FilePiece], binary=True).decode
decode_parsed: Final = Decoder[ParsedPiece](ParsedPiece, binary=True).decode


def send_frame(peer: socket.socket, payload: bytes) -> None:
    """Send one frame; raise `OSError`."""
    peer.sendall(len(payload).to_bytes(_LENGTH_BYTES, "big"))
    peer.sendall(payload)


def receive_frame(peer: socket.socket, *, timeout_s: float | None = None, max_bytes: int | None = None) -> bytes:
    """Receive one frame; raise `EOFError` if the peer has ended or exceeds the size, `TimeoutError` and `OSError`."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    length = int.from_bytes(_receive(peer, _LENGTH_BYTES, deadline), "big")
    if max_bytes is not None and length > max_bytes:
        raise EOFError("the reply is too large")
    return _receive(peer, length, deadline)


def _receive(peer: socket.socket, length: int, deadline: float | None) -> bytes:
    received = bytearray(length)
    rest = memoryview(received)
    while rest:
        if deadline is not None:
            peer.settimeout(max(deadline - time.monotonic(), _LEAST_TIMEOUT_S))
        count = peer.recv_into(rest)
        if not count:
            raise EOFError("the parser has ended")
        rest = rest[count:]
    return bytes(received)
