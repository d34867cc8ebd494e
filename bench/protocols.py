"""Cost of a handoff and of a consultation over a plain turn, and of a turn in a growing conversation.

Measures a running suite with the demo fleet, in a closed loop of a few customers. A question for another specialty is
handed off within its turn; repeated, it is a plain turn of the new owner. A question about two subjects is answered
with advice, then one about a single subject without. The commits contain the time of the models and of the consulted
agents' own work; the rest is the overhead of the protocol.

    TRUNKLINE_LLM_CONFIG=bench/simulated.toml TRUNKLINE_MESSAGES_PER_S=1000 ./just up
    python -m bench.protocols --handoffs 200 --consultations 200 --turns 0
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

from bench.percentiles import percentiles

_QUESTIONS: Final = (
    "I was charged twice for my order, can I get a refund?",
    "My thermostat shows the error code E2 on its screen",
)
_TWO_SUBJECTS: Final = "I was charged twice for my order and my thermostat will not connect to the Wi-Fi"
_ANSWER_TIMEOUT_S: Final = 60.0


@dataclass(slots=True)
class _Turn:
    """One turn: response time of the customer, and times from the trace, in milliseconds."""

    response_ms: float
    handed_off: bool
    models_ms: float = 0.0
    consulted_ms: list[tuple[float, float]] = field(default_factory=list)
    """For each consulted agent: the time that the owner waited, and the agent's own work."""

    @property
    def overhead_ms(self) -> float:
        """Return the response time less the models and the slowest consulted agent's work."""
        return self.response_ms - self.models_ms - max((work_ms for _, work_ms in self.consulted_ms), default=0.0)


class _Client:
    """A chat client with one conversation."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, conversation: str) -> None:
        self._socket = socket
        self._conversation = conversation
        self.turns: dict[str, _Turn] = {}

    @classmethod
    async def connect(cls, session: aiohttp.ClientSession, url: str) -> Self:
        """Open a socket and start a conversation."""
        address = f"{url}/v1/chat"
        socket = await session.ws_connect(address, protocols=("trunkline.v1",), max_msg_size=0, compress=0)
        await socket.send_json({"type": "start", "customer": "bench"})
        return cls(socket, (await socket.receive_json())["conversation"])

    async def ask(self, text: str) -> _Turn:
        """Send a message and wait for its answer."""
        id_ = f"m{len(self.turns) + 1}"
        started = time.perf_counter()
        await self._socket.send_json({"type": "message", "id": id_, "text": text})
        handed_off = False
        while True:
            frame: dict[str, Any] = await asyncio.wait_for(self._socket.receive_json(), _ANSWER_TIMEOUT_S)
            handed_off |= frame["type"] == "handoff"
            if frame["type"] == "message" and frame["in_reply_to"] == id_:
                break
            if frame["type"] == "error":
                raise RuntimeError(f"{frame['code']}: {frame['message']}")
        turn = self.turns[id_] = _Turn((time.perf_counter() - started) * 1000, handed_off)
        return turn

    async def read_trace(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        """Set the times of models and consulted agents from the trace, with the operator's token."""
        headers = {"Authorization": f"Bearer {token}"}
        async with session.get(f"{url}/v1/ops/trace/{self._conversation}", headers=headers) as response:
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
                case _:
                    pass


async def _alternate_specialties(client: _Client, count: int) -> None:
    """Alternate between two specialties; ask every question twice."""
    await client.ask(_QUESTIONS[0])
    for number in range(1, count + 1):
        for _ in range(2):
            await client.ask(_QUESTIONS[number % 2])


async def _alternate_subjects(client: _Client, count: int) -> None:
    """Alternate between a question about two subjects and one about a single subject."""
    await client.ask(_QUESTIONS[0])
    for _ in range(count):
        await client.ask(_TWO_SUBJECTS)
        await client.ask(_QUESTIONS[0])


def _summarise_handoffs(turns: list[_Turn]) -> dict[str, Any]:
    moved = [turn.overhead_ms for turn in turns if turn.handed_off]
    plain = [turn.overhead_ms for turn in turns if not turn.handed_off]
    return {"handoffs": len(moved), "turn_overhead_ms": percentiles(moved), **_compare(plain, moved)}


def _summarise_consultations(turns: list[_Turn]) -> dict[str, Any]:
    advised = [turn for turn in turns if turn.consulted_ms and not turn.handed_off]
    plain = [turn.overhead_ms for turn in turns if not turn.consulted_ms and not turn.handed_off]
    pairs = [pair for turn in advised for pair in turn.consulted_ms]
    overhead = [turn.overhead_ms for turn in advised]
    return {
        "consultations": len(pairs),
        "own_work_ms": percentiles([work_ms for _, work_ms in pairs]),
        "over_own_work_ms": percentiles([waited_ms - work_ms for waited_ms, work_ms in pairs]),
        "turn_overhead_ms": percentiles(overhead),
        **_compare(plain, overhead),
    }


def _compare(plain: list[float], other: list[float]) -> dict[str, Any]:
    cost = percentiles(other).get("p50", 0.0) - percentiles(plain).get("p50", 0.0)
    return {"plain_turn_overhead_ms": percentiles(plain), "cost_ms_p50": round(cost, 2)}


async def _growth(client: _Client, count: int) -> dict[str, Any]:
    """Repeat one question in one conversation."""
    times = [(await client.ask(_QUESTIONS[0])).response_ms for _ in range(count)]
    tenth = max(1, count // 10)
    return {
        "turns": count,
        "first_tenth_ms": percentiles(times[1 : tenth + 1]),
        "last_tenth_ms": percentiles(times[-tenth:]),
    }


async def _measure(options: argparse.Namespace) -> dict[str, Any]:
    token = (options.data_dir / "secrets" / "operator").read_text("utf-8")
    report: dict[str, Any] = {}
    async with aiohttp.ClientSession() as session:
        for name, send, count, summarise in (
            ("handoff", _alternate_specialties, options.handoffs, _summarise_handoffs),
            ("consultation", _alternate_subjects, options.consultations, _summarise_consultations),
        ):
            if not count:
                continue
            clients = [await _Client.connect(session, options.url) for _ in range(min(options.customers, count))]
            await asyncio.gather(*(send(client, count // len(clients)) for client in clients))
            await asyncio.gather(*(client.read_trace(session, options.url, token) for client in clients))
            # The first turn of a conversation goes through triage.
            report[name] = summarise([turn for client in clients for turn in list(client.turns.values())[1:]])
        if options.turns:
            report["growth"] = await _growth(await _Client.connect(session, options.url), options.turns)
    return report


def main() -> int:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--data-dir", type=Path, default=Path("var"), help="data folder of the suite")
    parser.add_argument("--handoffs", type=int, default=200, help="number; 0: not measured")
    parser.add_argument("--consultations", type=int, default=200, help="number; 0: not measured")
    parser.add_argument("--customers", type=int, default=4, help="concurrent customers, one conversation each")
    parser.add_argument("--turns", type=int, default=1000, help="turns of the growing conversation; 0: not measured")
    print(json.dumps(asyncio.run(_measure(parser.parse_args())), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
