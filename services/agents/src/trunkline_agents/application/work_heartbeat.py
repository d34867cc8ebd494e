"""The sign of life: which turns this process works on, told to those who wait, four times a second."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from trunkline_chassis.errors import BusError
from trunkline_protocols.ids import Instance, TurnId
from trunkline_protocols.turn import AgentBeat, AnswerTurn

from trunkline_agents.ports import Colleagues

_log: Final = structlog.get_logger(__name__)


class WorkHeartbeat:
    """WorkHeartbeat for as long as work is under way."""

    def __init__(self, colleagues: Colleagues, instance: Instance, every_s: float) -> None:
        """`instance` is this process."""
        self._colleagues = colleagues
        self._instance = instance
        self._every_s = every_s
        self._turns: defaultdict[Instance, list[TurnId]] = defaultdict(list)

    @contextmanager
    def working_on(self, request: AnswerTurn) -> Iterator[None]:
        """Beat for this order while the block runs."""
        self._turns[request.reply_to].append(request.ref.turn)
        try:
            yield
        finally:
            self._turns[request.reply_to].remove(request.ref.turn)

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            for owner, turns in list(self._turns.items()):
                if not turns:
                    continue
                try:
                    await self._colleagues.report(owner, AgentBeat(instance=self._instance, turns=list(turns)))
                except BusError as error:
                    _log.warning("beat.failed", error=str(error))
