"""A wire that can be cut and slowed: a TCP proxy between the suite and a server."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

_CHUNK = 64 * 1024


class Wire:
    """Listens on a port of its own, in a thread of its own, and passes everything on to `port`."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        """Start passing on."""
        self._target = (host, port)
        self._open: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self._delay_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._pass_on, host, 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Break every connection, and refuse new ones."""
        self._is_cut = True
        self._call(self._break_all())

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut = False

    def delay(self, seconds: float) -> None:
        """Hold everything for so long on its way, in both directions."""
        self._delay_s = seconds

    def close(self) -> None:
        """Stop."""
        self.cut()
        self._server.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _break_all(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, far_writer}
        with contextlib.suppress(OSError):
            await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))
        self._open -= {writer, far_writer}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(_CHUNK):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                writer.write(chunk)
                await writer.drain()
        finally:
            writer.transport.abort()
