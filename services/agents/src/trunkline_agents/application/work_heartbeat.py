"""Work heartbeat: reports the in-flight turns of this process to the conversation processes that wait for them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from trunkline_chassis.clock import steady_time
from trunkline_chassis.errors import BusError
from trunkline_protocols.ids import Instance, TurnRef
from trunkline_protocols.turn import AgentHeartbeat, AnswerTurn

from trunkline_agents.ports import ResultSink

_log: Final = structlog.get_logger(__name__)
CLAIM_INTERVAL_S: Final = 0.1
"""Between two checks for turns that have not been claimed: most turns without a model are answered before."""
_LONG_QUEUED_S: Final = 0.5
"""Age from which a turn is claimed at once: the conversation process is about to look for it."""


class WorkHeartbeat:
    """Sends heartbeats to every process with in-flight turns here; the first one for a turn claims it."""

    def __init__(self, sink: ResultSink, interval_s: float) -> None:
        """Send every `interval_s` seconds, and earlier if there is a turn to claim."""
        self._sink = sink
        self._interval_s = interval_s
        self._turns: defaultdict[Instance, dict[TurnRef, bool]] = defaultdict(dict)
        """In-flight turns by recipient, each with whether it has been claimed."""
        self._sent_at: dict[Instance, float] = {}
        self._busy = asyncio.Event()
        self._long_queued = asyncio.Event()

    @contextmanager
    def working_on(self, request: AnswerTurn) -> Iterator[None]:
        """Include a turn in the heartbeats while the block runs."""
        turns = self._turns[request.reply_to]
        turns[request.ref] = False
        self._busy.set()
        if steady_time() - request.dispatched_at > _LONG_QUEUED_S:
            self._long_queued.set()
        try:
            yield
        finally:
            turns.pop(request.ref, None)

    async def run(self) -> None:
        """Send heartbeats until cancelled."""
        while True:
            await self._busy.wait()
            await self._pause()
            now = asyncio.get_running_loop().time()
            for recipient, turns in list(self._turns.items()):
                await self._send_due(recipient, turns, now)
            if not any(self._turns.values()):
                self._busy.clear()
                self._turns.clear()
                self._sent_at.clear()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(min(CLAIM_INTERVAL_S, self._interval_s)):
                await self._long_queued.wait()
        except TimeoutError:
            pass
        self._long_queued.clear()

    async def _send_due(self, recipient: Instance, turns: dict[TurnRef, bool], now: float) -> None:
        claimed = [ref for ref, is_claimed in turns.items() if not is_claimed]
        is_due = now - self._sent_at.get(recipient, 0.0) >= self._interval_s
        if not turns or not (claimed or is_due):
            return
        self._sent_at[recipient] = now
        turns.update(dict.fromkeys(claimed, True))
        try:
            await self._sink.report(recipient, AgentHeartbeat(turns=[ref.turn for ref in turns], claimed=claimed))
        except BusError as error:
            for ref in claimed:
                if ref in turns:
                    turns[ref] = False
            _log.warning("work_heartbeat.publish_failed", error=str(error))
