"""Work heartbeat: reports the in-flight turns of this process to the conversation processes that wait for them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from trunkline_chassis.errors import BusError
from trunkline_protocols.ids import Instance, TurnId
from trunkline_protocols.turn import AgentHeartbeat, AnswerTurn

from trunkline_agents.ports import ResultSink

_log: Final = structlog.get_logger(__name__)


class WorkHeartbeat:
    """Sends one heartbeat per interval to every process with in-flight turns here."""

    def __init__(self, sink: ResultSink, interval_s: float) -> None:
        """Send every `interval_s` seconds."""
        self._sink = sink
        self._interval_s = interval_s
        self._turns: defaultdict[Instance, list[TurnId]] = defaultdict(list)

    @contextmanager
    def working_on(self, request: AnswerTurn) -> Iterator[None]:
        """Include a turn in the heartbeats while the block runs."""
        self._turns[request.reply_to].append(request.ref.turn)
        try:
            yield
        finally:
            self._turns[request.reply_to].remove(request.ref.turn)

    async def run(self) -> None:
        """Send heartbeats until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            for recipient, turns in list(self._turns.items()):
                if not turns:
                    continue
                try:
                    await self._sink.report(recipient, AgentHeartbeat(turns=list(turns)))
                except BusError as error:
                    _log.warning("work_heartbeat.publish_failed", error=str(error))
