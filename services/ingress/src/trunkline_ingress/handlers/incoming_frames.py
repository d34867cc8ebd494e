"""Incoming frames of a socket, which answers the client's pings even while a frame is handled for long.

aiohttp answers a ping when the next frame is awaited. A resume or a message waits for the election of a leader for up
to ten seconds, in which a client that pings would give up a healthy socket.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Final

from aiohttp import WSMessage, WSMsgType, web

_QUICK_S: Final = 0.5
"""A frame that is handled in less time needs no reading beside it."""
_MAX_KEPT_FRAMES: Final = 8
"""Beyond it, frames stay in the client's own buffers."""
_CLOSED: Final = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED})


class IncomingFrames:
    """Frames of one socket in their order; from the first slow one on, a task reads ahead."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        """`socket` is prepared and not read elsewhere."""
        self._socket = socket
        self._kept: asyncio.Queue[WSMessage] | None = None

    async def next(self) -> WSMessage | None:
        """Return the next frame, None if the socket is closed."""
        frame = await (self._socket.receive() if self._kept is None else self._kept.get())
        return None if frame.type in _CLOSED else frame

    @contextlib.contextmanager
    def handling(self, tasks: asyncio.TaskGroup) -> Iterator[None]:
        """Read ahead in a task of the group if the body takes long."""
        timer = None
        if self._kept is None:
            timer = asyncio.get_running_loop().call_later(_QUICK_S, self._read_ahead, tasks)
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()

    def _read_ahead(self, tasks: asyncio.TaskGroup) -> None:
        kept: asyncio.Queue[WSMessage] = asyncio.Queue(_MAX_KEPT_FRAMES)
        with contextlib.suppress(RuntimeError):  # the group is ending, and the body with it
            tasks.create_task(self._keep_frames(kept))
            self._kept = kept

    async def _keep_frames(self, kept: asyncio.Queue[WSMessage]) -> None:
        while True:
            frame = await self._socket.receive()
            await kept.put(frame)
            if frame.type in _CLOSED:
                return
