"""Supervision of work that is dispatched to an agent: claim, heartbeats, result, timeouts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, TypeAlias

from trunkline_protocols.ids import TurnRef
from trunkline_protocols.turn import AnswerTurn, TurnResult

_MAX_UNCLAIMED_FACTOR: Final = 8


@dataclass(frozen=True, slots=True)
class AgentLost:
    """The heartbeats of the agent that claimed the work have stopped."""


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """No agent claimed the task in time: it is queued, was lost, or no worker is up."""

    is_first: bool
    """A process that has died may still be restarting: it is too early to look for another specialty."""


@dataclass(frozen=True, slots=True)
class DeadlineExceeded:
    """The work took longer than the turn timeout."""


TurnSignal: TypeAlias = TurnResult | AgentLost | Unclaimed | DeadlineExceeded


@dataclass(frozen=True, slots=True)
class TurnTimeouts:
    """Timeouts of dispatched work, in seconds."""

    agent_silence_s: float
    """Maximum time without a heartbeat after the claim."""
    unclaimed_s: float
    """Maximum time without a claim; counted again after each expiry, and doubled."""
    turn_timeout_s: float


class Dispatch:
    """Tracks one dispatched request at a time and queues the signals that decide about it."""

    def __init__(self, timeouts: TurnTimeouts) -> None:
        """Start without a request."""
        self.timeouts = timeouts
        self._signals: asyncio.Queue[TurnSignal] = asyncio.Queue()
        self._request: AnswerTurn | None = None
        self._started_at = 0.0
        self._claim_due_at = 0.0
        self._expiries = 0
        self._last_heartbeat_at: float | None = None

    def start(self, request: AnswerTurn) -> None:
        """Start to track a request that is about to be published. All times are those of the event loop's clock."""
        self._started_at = asyncio.get_running_loop().time()
        self._claim_due_at = self._started_at + self.timeouts.unclaimed_s
        self._expiries = 0
        self._last_heartbeat_at = None
        self._signals = asyncio.Queue()
        self._request = request

    def continue_with(self, request: AnswerTurn) -> None:
        """Track the next request of the agent that claimed the last one; its result may have arrived already."""
        arrived = self._signals
        self.start(request)
        self._signals = arrived
        self._last_heartbeat_at = self._started_at

    async def next_signal(self) -> TurnSignal:
        """Wait for the next signal."""
        return await self._signals.get()

    def expect_claim(self) -> None:
        """Wait for the claim of an agent that has just taken the work, before the next `Unclaimed`."""
        self._claim_due_at = asyncio.get_running_loop().time() + self.timeouts.agent_silence_s
        self._expiries -= 1

    def stop(self) -> None:
        """Stop tracking: later messages are ignored."""
        self._request = None

    def on_claimed(self, claimed: TurnRef, now: float) -> None:
        """Start to expect heartbeats, if the claim is for the current request."""
        request = self._request
        if request is not None and (claimed.turn, claimed.hop, claimed.attempt) == (
            request.ref.turn,
            request.ref.hop,
            request.ref.attempt,
        ):
            self._last_heartbeat_at = now

    def on_heartbeat(self, now: float) -> None:
        """Record a heartbeat of the agent that claimed the work."""
        if self._request is not None and self._last_heartbeat_at is not None:
            self._last_heartbeat_at = now

    def on_result(self, result: TurnResult) -> bool:
        """Queue a result; return False if it belongs to another turn."""
        if self._request is None or result.ref.turn != self._request.ref.turn:
            return False
        self._signals.put_nowait(result)
        return True

    def check_timeouts(self, now: float) -> None:
        """Queue a signal for the first timeout that has expired; called periodically."""
        if self._request is None or not self._signals.empty():
            return
        timeouts = self.timeouts
        if now - self._started_at > timeouts.turn_timeout_s:
            self._signals.put_nowait(DeadlineExceeded())
        elif self._last_heartbeat_at is not None:
            if now - self._last_heartbeat_at > timeouts.agent_silence_s:
                self._signals.put_nowait(AgentLost())
        elif now > self._claim_due_at:
            is_first = self._expiries == 0
            self._expiries += 1
            self._claim_due_at = now + timeouts.unclaimed_s * min(2**self._expiries, _MAX_UNCLAIMED_FACTOR)
            self._signals.put_nowait(Unclaimed(is_first))
