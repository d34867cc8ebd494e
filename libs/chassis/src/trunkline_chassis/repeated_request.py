"""Repeats of one request that wait for their replies together, so that a reply later than its attempt counts too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from trunkline_chassis.cancellation import cancel_and_wait

T = TypeVar("T")


class RepeatedRequest(Generic[T]):
    """A request that is sent again and again until the first reply to any of its attempts.

    If a server answers everything later than an attempt waits, no attempt alone would ever get its reply, although the
    server has executed it.
    """

    def __init__(self, send: Callable[[float], Coroutine[Any, Any, T]]) -> None:
        """`send` sends the request once and waits for its reply for a number of seconds."""
        self._send = send
        self._open: set[asyncio.Task[T]] = set()
        self._is_first = True

    async def attempt(self, wait_s: float, *, open_s: float) -> T:
        """Send it once more and wait `wait_s` for a reply to any attempt; the new one waits up to `open_s` for its own.

        The first one, nearly always the only one, needs no task and is given up after `wait_s`. Raises `TimeoutError`
        without a reply, or the error of an attempt that has failed.
        """
        if self._is_first:
            self._is_first = False
            return await self._send(wait_s)
        self._open.add(asyncio.ensure_future(self._send(max(wait_s, open_s))))
        finished, self._open = await asyncio.wait(self._open, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        failure: BaseException = TimeoutError()
        for each in finished:
            error = each.exception()
            if error is None:
                return each.result()
            failure = error
        raise failure

    async def close(self) -> None:
        """Give up the attempts that still wait."""
        await cancel_and_wait(self._open)


async def first_reply(send: Callable[[float], Coroutine[Any, Any, T]], *, every_s: float, timeout_s: float) -> T:
    """Send a request every `every_s` until the first reply to any attempt; raises `TimeoutError` after `timeout_s`."""
    if every_s >= timeout_s:
        return await send(timeout_s)
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout_s
    repeats = RepeatedRequest(send)
    try:
        while True:
            left_s = deadline - clock()
            try:
                return await repeats.attempt(min(every_s, left_s), open_s=left_s)
            except TimeoutError:
                if clock() >= deadline:
                    raise
    finally:
        await repeats.close()
