"""A PostgreSQL server with encryption, as seen by clients: the embedded build has none of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from tests.support.certificates import Certificates

_REQUEST_BYTES: Final = 8
_CHUNK: Final = 64 * 1024


@contextlib.asynccontextmanager
async def tls_proxy(socket: Path, certificates: Certificates) -> AsyncIterator[int]:
    """Accept encrypted connections on a free port and forward them to a Unix socket; yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readexactly(_REQUEST_BYTES)  # the client asks for encryption before anything else
            writer.write(b"S")
            await writer.drain()
            await writer.start_tls(context)
            far_reader, far_writer = await asyncio.open_unix_connection(socket)
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    finally:
        writer.transport.abort()
