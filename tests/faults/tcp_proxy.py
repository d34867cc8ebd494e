"""A TCP proxy between the suite and a server, whose connections can be cut and delayed."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

_CHUNK = 64 * 1024
_CALL_TIMEOUT_S = 10.0

_T = TypeVar("_T")


class TcpProxy:
    """Listens on a free port, in a thread with an event loop, and forwards everything to a port or a Unix socket."""

    def __init__(self, target: int | Path, host: str = "127.0.0.1") -> None:
        """Start forwarding."""
        self._target = target
        self._host = host
        self._open: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self._delay_s = 0.0
        self._reply_delay_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._forward, host, 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Abort every connection and refuse new ones."""
        self._is_cut = True
        self._call(self._abort_all())

    def restore(self) -> None:
        """Accept connections again."""
        self._is_cut = False

    def set_delay(self, seconds: float) -> None:
        """Delay all data by this time, in each direction."""
        self._delay_s = seconds

    def set_reply_delay(self, seconds: float) -> None:
        """Delay data from the server by this time, data to it not at all."""
        self._reply_delay_s = seconds

    def close(self) -> None:
        """Abort every connection and stop."""
        self.cut()
        self._server.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_TIMEOUT_S)

    async def _abort_all(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await (
                asyncio.open_unix_connection(self._target)
                if isinstance(self._target, Path)
                else asyncio.open_connection(self._host, self._target)
            )
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, far_writer}
        with contextlib.suppress(OSError):
            await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer, is_reply=True))
        self._open -= {writer, far_writer}

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool = False
    ) -> None:
        try:
            while chunk := await reader.read(_CHUNK):
                delay_s = self._delay_s + (self._reply_delay_s if is_reply else 0.0)
                if delay_s:
                    await asyncio.sleep(delay_s)
                writer.write(chunk)
                await writer.drain()
        finally:
            writer.transport.abort()
