"""What a handoff and a consultation cost over a plain turn, and whether a turn costs more as its conversation grows.

Measures a running suite of the demo fleet, a few customers at a time who each wait for their answer. A question for
another specialty is handed over within its turn, then the same words are a plain turn of the new owner; a question
about two things is answered with a colleague's advice, then one about one thing without. The models' own time is in the
commits, and a consulted agent's own work too: the rest is what the protocol costs.

    TRUNKLINE_LLM_CONFIG=bench/simulated.toml TRUNKLINE_MESSAGES_PER_S=1000 ./just up
    python bench/protocols.py --handoffs 200 --consultations 200 --turns 0
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Final, Self

import aiohttp

_QUESTIONS: Final = (
    "I was charged twice for my order, can I get a refund?",
    "My thermostat shows the error code E2 on its screen",
)
_ABOUT_TWO_THINGS: Final = "I was charged twice for my order and my thermostat will not connect to the Wi-Fi"
_ANSWER_S: Final = 60.0


@dataclass(slots=True)
class _Turn:
    """One turn as its customer saw it, and what the trace says of it. Milliseconds."""

    took_ms: float
    handed_off: bool
    models_ms: float = 0.0
    consulted_ms: list[tuple[float, float]] = field(default_factory=list)
    """For each specialist: how long the asker waited, and how long the specialist's own work took."""

    @property
    def overhead_ms(self) -> float:
        """What is left without the models and the slowest specialist's work."""
        return self.took_ms - self.models_ms - max((work_ms for _, work_ms in self.consulted_ms), default=0.0)


class _Caller:
    """One conversation."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, conversation: str) -> None:
        self._socket = socket
        self._conversation = conversation
        self.turns: dict[str, _Turn] = {}

    @classmethod
    async def begin(cls, session: aiohttp.ClientSession, url: str) -> Self:
        """Open a socket and start."""
        address = f"{url}/v1/chat"
        socket = await session.ws_connect(address, protocols=("trunkline.v1",), max_msg_size=0, compress=0)
        await socket.send_json({"type": "start", "customer": "bench"})
        return cls(socket, (await socket.receive_json())["conversation"])

    async def ask(self, text: str) -> _Turn:
        """Ask, and wait for the answer."""
        id_ = f"m{len(self.turns) + 1}"
        started = time.perf_counter()
        await self._socket.send_json({"type": "message", "id": id_, "text": text})
        handed_off = False
        while True:
            frame: dict[str, Any] = await asyncio.wait_for(self._socket.receive_json(), _ANSWER_S)
            handed_off |= frame["type"] == "handoff"
            if frame["type"] == "message" and frame["in_reply_to"] == id_:
                break
            if frame["type"] == "error":
                raise RuntimeError(f"{frame['code']}: {frame['message']}")
        turn = self.turns[id_] = _Turn((time.perf_counter() - started) * 1000, handed_off)
        return turn

    async def learn(self, session: aiohttp.ClientSession, url: str) -> None:
        """Read in the trace what the models and the specialists took."""
        async with session.get(f"{url}/v1/ops/trace/{self._conversation}") as response:
            response.raise_for_status()
            steps = (await response.json())["steps"]
        models_ms, consulted_ms = 0.0, []
        for step in steps:
            detail = step["detail"]
            match step["type"]:
                case "turn.hand_off":
                    models_ms += detail.get("model_ms", 0.0)
                case "consult":
                    consulted_ms.append((step["ms"], detail["work_ms"]))
                case "turn.answered":
                    turn = self.turns[detail["in_reply_to"]]
                    turn.models_ms, turn.consulted_ms = models_ms + detail["model_ms"], consulted_ms
                    models_ms, consulted_ms = 0.0, []


async def _hand_over(caller: _Caller, count: int) -> None:
    """Alternate between two specialties, every question twice."""
    await caller.ask(_QUESTIONS[0])
    for number in range(1, count + 1):
        for _ in range(2):
            await caller.ask(_QUESTIONS[number % 2])


async def _consult(caller: _Caller, count: int) -> None:
    """Alternate between a question about two things and one about one."""
    await caller.ask(_QUESTIONS[0])
    for _ in range(count):
        await caller.ask(_ABOUT_TWO_THINGS)
        await caller.ask(_QUESTIONS[0])


def _of_handoffs(turns: list[_Turn]) -> dict[str, Any]:
    moved = [turn.overhead_ms for turn in turns if turn.handed_off]
    plain = [turn.overhead_ms for turn in turns if not turn.handed_off]
    return {"handoffs": len(moved), "turn_overhead_ms": _percentiles(moved), **_against(plain, moved)}


def _of_consultations(turns: list[_Turn]) -> dict[str, Any]:
    advised = [turn for turn in turns if turn.consulted_ms and not turn.handed_off]
    plain = [turn.overhead_ms for turn in turns if not turn.consulted_ms and not turn.handed_off]
    asked = [pair for turn in advised for pair in turn.consulted_ms]
    overhead = [turn.overhead_ms for turn in advised]
    return {
        "consultations": len(asked),
        "own_work_ms": _percentiles([work_ms for _, work_ms in asked]),
        "over_own_work_ms": _percentiles([took_ms - work_ms for took_ms, work_ms in asked]),
        "turn_overhead_ms": _percentiles(overhead),
        **_against(plain, overhead),
    }


def _against(plain: list[float], other: list[float]) -> dict[str, Any]:
    cost = _percentiles(other).get("p50", 0.0) - _percentiles(plain).get("p50", 0.0)
    return {"plain_turn_overhead_ms": _percentiles(plain), "cost_ms_p50": round(cost, 2)}


async def _growth(caller: _Caller, count: int) -> dict[str, Any]:
    """Ask the same in one conversation, again and again."""
    times = [(await caller.ask(_QUESTIONS[0])).took_ms for _ in range(count)]
    tenth = max(1, count // 10)
    return {
        "turns": count,
        "first_tenth_ms": _percentiles(times[1 : tenth + 1]),
        "last_tenth_ms": _percentiles(times[-tenth:]),
    }


def _percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {f"p{percent}": round(ordered[len(ordered) * percent // 100], 2) for percent in (50, 95) if ordered}


async def _measure(asked: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    async with aiohttp.ClientSession() as session:
        for name, talk, count, sum_up in (
            ("handoff", _hand_over, asked.handoffs, _of_handoffs),
            ("consultation", _consult, asked.consultations, _of_consultations),
        ):
            if not count:
                continue
            callers = [await _Caller.begin(session, asked.url) for _ in range(min(asked.customers, count))]
            await asyncio.gather(*(talk(caller, count // len(callers)) for caller in callers))
            await asyncio.gather(*(caller.learn(session, asked.url) for caller in callers))
            # The first turn of a conversation goes over triage.
            found[name] = sum_up([turn for caller in callers for turn in list(caller.turns.values())[1:]])
        if asked.turns:
            found["growth"] = await _growth(await _Caller.begin(session, asked.url), asked.turns)
    return found


def main() -> int:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--handoffs", type=int, default=200, help="0: none")
    parser.add_argument("--consultations", type=int, default=200, help="0: none")
    parser.add_argument("--customers", type=int, default=4, help="at the same time, each with a conversation")
    parser.add_argument("--turns", type=int, default=1000, help="of the conversation that grows; 0: none")
    print(json.dumps(asyncio.run(_measure(parser.parse_args())), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
