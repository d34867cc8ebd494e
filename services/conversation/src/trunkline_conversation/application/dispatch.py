"""One piece of an agent's work under way: who was asked, what was heard of it, when to stop waiting."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, TypeAlias

import structlog
from trunkline_protocols.turn import AnswerTurn, TaskClaimed, TurnResult

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AgentLost:
    """Nothing was heard of the agent that claimed the work."""


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """Nobody has said to have taken the work for a while: it waits, or got lost, or nobody is there."""


@dataclass(frozen=True, slots=True)
class DeadlineExceeded:
    """The work took longer than any work may."""


Sign: TypeAlias = TurnResult | AgentLost | Unclaimed | DeadlineExceeded


@dataclass(frozen=True, slots=True)
class TurnTimeouts:
    """How long to wait for what, in seconds."""

    agent_silence_s: float
    unclaimed_s: float
    turn_timeout_s: float


class Dispatch:
    """Waits for one agent at a time and collects the signs of its work."""

    def __init__(self, patience: TurnTimeouts) -> None:
        """Nobody is asked yet."""
        self._patience = patience
        self._signs: asyncio.Queue[Sign] = asyncio.Queue()
        self._order: AnswerTurn | None = None
        self._asked_at = 0.0
        self._published_at = 0.0
        self._heard_at: float | None = None

    def begin(self, order: AnswerTurn) -> None:
        """Begin to wait for the result of an order that is about to be published. Times by the event loop's clock."""
        self._asked_at = self._published_at = asyncio.get_running_loop().time()
        self._heard_at = None
        self._signs = asyncio.Queue()
        self._order = order

    async def sign(self) -> Sign:
        """Wait for the next sign."""
        return await self._signs.get()

    def stop(self) -> None:
        """Wait for nobody any more."""
        self._order = None

    # -- what is heard ---

    def claimed(self, claim: TaskClaimed, now: float) -> None:
        """An agent has taken the work."""
        order = self._order
        if order is not None and (claim.ref.turn, claim.ref.hop, claim.ref.attempt) == (
            order.ref.turn,
            order.ref.hop,
            order.ref.attempt,
        ):
            self._heard_at = now

    def beat(self, now: float) -> None:
        """The agent lives and still works on it."""
        if self._order is not None and self._heard_at is not None:
            self._heard_at = now

    def result(self, result: TurnResult) -> bool:
        """Take a result; False when it belongs to another turn."""
        if self._order is None or result.ref.turn != self._order.ref.turn:
            return False
        self._signs.put_nowait(result)
        return True

    def watch(self, now: float) -> None:
        """Notice silence; called a few times a second."""
        if self._order is None or not self._signs.empty():
            return
        patience = self._patience
        if now - self._asked_at > patience.turn_timeout_s:
            self._signs.put_nowait(DeadlineExceeded())
        elif self._heard_at is not None:
            if now - self._heard_at > patience.agent_silence_s:
                self._signs.put_nowait(AgentLost())
        elif now - self._published_at > patience.unclaimed_s:
            self._published_at = now
            self._signs.put_nowait(Unclaimed())
