"""Overload of a running suite: a low rate, one beyond its capacity, and the low rate again, in an open loop.

Reports of each phase how many turns were accepted and refused, the times of the accepted ones and the times that
refusals named, and of the last phase, when turns were as fast as before. Exits with 1 if an accepted turn was lost or
answered twice, or a refused one was answered. With `--retry`, refused turns are sent again as clients do.

    TRUNKLINE_EDGE_UNLIMITED=127.0.0.1 ./just up
    python -m bench.overload --rate 1000 --seconds 10
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import msgspec
from trunkline_chassis.file_limit import raise_file_limit

from bench.percentiles import percentiles

TEXTS: Final = (
    "I was charged twice for my order, can I get a refund?",
    "My invoice shows the wrong address",
    "The thermostat shows error E2",
    "Where is my parcel?",
    "I forgot my password",
)
_MAX_CONCURRENT_OPENS: Final = 64
_OPEN_TIMEOUT_S: Final = 30.0
_ANSWERS_TIMEOUT_S: Final = 60.0
_POLL_INTERVAL_S: Final = 0.1
_MAX_ERROR_SAMPLES: Final = 5


class Frame(msgspec.Struct):
    """The parts of a server's frame that the bench reads."""

    type: str
    id: str | None = None
    in_reply_to: str | None = None
    code: str = ""
    retry_after_s: float | None = None


_FRAMES: Final = msgspec.json.Decoder(Frame)


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the load: `rate` turns per second for some seconds."""

    name: str
    rate: float
    seconds: float


@dataclass(slots=True)
class Turn:
    """One message; times by the monotonic clock, in seconds."""

    id: str
    phase: Phase
    text: str
    due_at: float
    """Response times count from here, so that a late bench shows no better figures."""
    sent_at: float = 0.0
    accepted_at: float | None = None
    answered_at: float | None = None
    answers: int = 0
    retry_after_s: list[float] = field(default_factory=list)
    """The time that each refusal named."""

    @property
    def response_ms(self) -> float | None:
        """Time from the first attempt to the answer."""
        return None if self.answered_at is None else (self.answered_at - self.due_at) * 1000


class Conversation:
    """An open conversation with one unanswered message at a time."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, idle: deque[Conversation], *, retries: bool) -> None:
        """Join `idle` again when a message is answered, or refused and not to be sent again."""
        self.turns: dict[str, Turn] = {}
        self.errors: list[str] = []
        self._socket = socket
        self._idle = idle
        self._retries = retries

    async def send(self, turn: Turn) -> None:
        """Send a message."""
        self.turns[turn.id] = turn
        turn.sent_at = turn.sent_at or time.monotonic()
        await self._socket.send_json({"type": "message", "id": turn.id, "text": turn.text})

    async def read(self) -> None:
        """Record frames until the socket is closed or the task is cancelled."""
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                await self.record(_FRAMES.decode(message.data), time.monotonic())
        self.errors.append(f"closed with {self._socket.close_code}")

    async def record(self, frame: Frame, now: float) -> None:
        """Record a frame that was received."""
        turn = self.turns.get((frame.in_reply_to if frame.type == "message" else frame.id) or "")
        if frame.type == "error" and (turn is None or frame.retry_after_s is None):
            self.errors.append(frame.code)
        elif turn is None:
            return
        elif frame.type == "accepted":
            turn.accepted_at = now
        elif frame.type == "message":
            turn.answered_at = turn.answered_at or now
            turn.answers += 1
            self._idle.append(self)
        elif frame.type == "error" and frame.retry_after_s is not None:
            turn.retry_after_s.append(frame.retry_after_s)
            if self._retries:
                # Nothing else arrives meanwhile: the conversation has no other message without an answer.
                await asyncio.sleep(frame.retry_after_s)
                await self.send(turn)
            else:
                self._idle.append(self)


class Load:
    """All conversations of a run."""

    def __init__(self, *, seed: int, retries: bool) -> None:
        """Start without conversations."""
        self.conversations: list[Conversation] = []
        self.skipped = 0
        """Arrivals at which no conversation was idle."""
        self.ends_at: dict[str, float] = {}
        """End of each phase."""
        self._idle: deque[Conversation] = deque()
        self._rng = random.Random(seed)  # noqa: S311 - load, not secrets
        self._retries = retries

    async def open(self, session: aiohttp.ClientSession, url: str, count: int) -> None:
        """Open conversations."""
        limit = asyncio.Semaphore(_MAX_CONCURRENT_OPENS)

        async def open_one(number: int) -> Conversation:
            async with limit, asyncio.timeout(_OPEN_TIMEOUT_S):
                socket = await session.ws_connect(
                    f"{url}/v1/chat", protocols=("trunkline.v1",), compress=0, max_msg_size=0
                )
                await socket.send_json({"type": "start", "customer": f"overload-{number}"})
                frame = _FRAMES.decode(await socket.receive_str())
                if frame.type != "started":
                    raise SystemExit(f"no conversation {number}: {frame.code}; see TRUNKLINE_EDGE_UNLIMITED")
                return Conversation(socket, self._idle, retries=self._retries)

        self.conversations = list(await asyncio.gather(*(open_one(number) for number in range(count))))
        self._idle.extend(self._rng.sample(self.conversations, count))

    async def run(self, phases: Sequence[Phase]) -> None:
        """Send the phases one after another, and wait for the answers to all accepted turns."""
        async with asyncio.TaskGroup() as tasks:
            readers = [tasks.create_task(conversation.read()) for conversation in self.conversations]
            start = time.monotonic()
            for phase in phases:
                await self._send(phase, start)
                start += phase.seconds
                self.ends_at[phase.name] = start
            for _ in range(int(_ANSWERS_TIMEOUT_S / _POLL_INTERVAL_S)):
                if not any(self._is_open(turn) for turn in self.turns()):
                    break
                await asyncio.sleep(_POLL_INTERVAL_S)
            for reader in readers:
                reader.cancel()

    def turns(self) -> Iterable[Turn]:
        """Return all turns."""
        return (turn for conversation in self.conversations for turn in conversation.turns.values())

    def _is_open(self, turn: Turn) -> bool:
        return turn.answered_at is None and (turn.accepted_at is not None or not turn.retry_after_s or self._retries)

    async def _send(self, phase: Phase, start: float) -> None:
        due_at = start
        while (due_at := due_at + self._rng.expovariate(phase.rate)) < start + phase.seconds:
            await asyncio.sleep(max(0.0, due_at - time.monotonic()))
            if not self._idle:
                self.skipped += 1
                continue
            conversation = self._idle.popleft()
            turn = Turn(f"m{len(conversation.turns) + 1}", phase, self._rng.choice(TEXTS), due_at)
            await conversation.send(turn)


def report(load: Load, phases: Sequence[Phase]) -> dict[str, Any]:
    """Return the figures of each phase, and what became of accepted and refused turns."""
    turns = list(load.turns())
    by_phase = [[turn for turn in turns if turn.phase is phase] for phase in phases]
    before, _, after = by_phase
    errors = [error for conversation in load.conversations for error in conversation.errors]
    return {
        **{phase.name: _figures(phase, of_phase) for phase, of_phase in zip(phases, by_phase, strict=True)},
        "normal_after_s": normal_after_s(before, after, load.ends_at[phases[1].name]),
        "last_refused_after_s": _last_refused_s(after, load.ends_at[phases[1].name]),
        "lost": sum(turn.accepted_at is not None and turn.answered_at is None for turn in turns),
        "doubled": sum(turn.answers > 1 for turn in turns),
        "answered_though_refused": sum(turn.answers > 0 and turn.accepted_at is None for turn in turns),
        "without_reply": sum(turn.accepted_at is None and not turn.retry_after_s for turn in turns),
        "skipped": load.skipped,
        "send_delay_ms": percentiles(((turn.sent_at - turn.due_at) * 1000 for turn in turns), (50, 99)),
        "errors": len(errors),
        "error_samples": errors[:_MAX_ERROR_SAMPLES],
    }


def normal_after_s(before: Sequence[Turn], after: Sequence[Turn], end_at: float) -> int | None:
    """Return the seconds from the end of the overload until it was over; None if it was not over in the last phase.

    From then on no turn was refused, and the median response of every second was at most the 95th percentile before.
    """
    normal_ms = percentiles((turn.response_ms for turn in before if turn.response_ms is not None), (95,))["p95"]
    last_s = max(int(turn.due_at - end_at) for turn in after)
    abnormal_s = -1
    for second in range(last_s + 1):
        due = [turn for turn in after if int(turn.due_at - end_at) == second]
        times_ms = [turn.response_ms for turn in due if turn.response_ms is not None]
        if any(turn.retry_after_s for turn in due) or (times_ms and statistics.median(times_ms) > normal_ms):
            abnormal_s = second
    return None if abnormal_s == last_s else abnormal_s + 1


def _last_refused_s(after: Sequence[Turn], end_at: float) -> float:
    """Return the seconds from the end of the overload to the last turn that was refused, 0 without one."""
    return round(max((turn.due_at - end_at for turn in after if turn.retry_after_s), default=0.0), 2)


def _figures(phase: Phase, turns: Sequence[Turn]) -> dict[str, Any]:
    accepted = sum(turn.accepted_at is not None for turn in turns)
    times_ms = [turn.response_ms for turn in turns if turn.response_ms is not None]
    named_s = [seconds for turn in turns for seconds in turn.retry_after_s]
    return {
        "rate": phase.rate,
        "turns": len(turns),
        "accepted": accepted,
        "accepted_per_s": round(accepted / phase.seconds, 1),
        "refused": sum(bool(turn.retry_after_s) for turn in turns),
        "refusals": len(named_s),
        "response_ms": percentiles(times_ms, (50, 95, 99), digits=1),
        "max_response_ms": round(max(times_ms, default=0.0), 1),
        "retry_after_s": percentiles(named_s, (1, 50, 99)),
    }


async def measure(url: str, phases: Sequence[Phase], *, conversations: int, seed: int, retries: bool) -> dict[str, Any]:
    """Run the phases on a suite and return the report."""
    load = Load(seed=seed, retries=retries)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await load.open(session, url, conversations)
        await load.run(phases)
    return report(load, phases)


def main() -> int:
    """Run the load and print its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--rate", type=float, default=1_000.0, help="turns per second of the overload")
    parser.add_argument("--seconds", type=float, default=10.0, help="its duration")
    parser.add_argument("--low-rate", type=float, default=20.0, help="turns per second before and after it")
    parser.add_argument("--low-seconds", type=float, default=15.0, help="duration of each of these phases")
    parser.add_argument("--conversations", type=int, default=2_000)
    parser.add_argument("--retry", action="store_true", help="send refused turns again after the time that they name")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    raise_file_limit()
    low = (options.low_rate, options.low_seconds)
    phases = (Phase("before", *low), Phase("overload", options.rate, options.seconds), Phase("after", *low))
    figures = asyncio.run(
        measure(
            options.url,
            phases,
            conversations=options.conversations,
            seed=options.seed,
            retries=options.retry,
        )
    )
    print(json.dumps(figures, indent=2))
    return int(any(figures[name] for name in ("lost", "doubled", "answered_though_refused", "without_reply")))


if __name__ == "__main__":
    sys.exit(main())
