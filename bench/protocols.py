"""What a handoff costs over a plain turn, and whether a turn costs more as its conversation grows.

Measures a running suite of the demo fleet with the extractive provider, one customer at a time: a question for another
specialty (handed over within the turn), then the same words again (a plain turn of the new owner), many times.

    ./just up                                   # TRUNKLINE_MESSAGES_PER_S=1000
    python bench/protocols.py --handoffs 200 --turns 1000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from typing import Any, Final

import aiohttp

_QUESTIONS: Final = (
    "I was charged twice for my order, can I get a refund?",
    "My thermostat shows the error code E2 on its screen",
)


class _Caller:
    """One conversation."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0

    async def ask(self, text: str) -> tuple[float, list[str]]:
        """Ask; returns the milliseconds to the answer, and the kinds of frames that came."""
        self._number += 1
        id_ = f"m{self._number}"
        started = time.perf_counter()
        await self._socket.send_json({"type": "message", "id": id_, "text": text})
        kinds = []
        while True:
            frame: dict[str, Any] = await asyncio.wait_for(self._socket.receive_json(), 60)
            kinds.append(frame["type"])
            if frame["type"] == "message" and frame["in_reply_to"] == id_:
                return (time.perf_counter() - started) * 1000, kinds
            if frame["type"] == "error":
                raise RuntimeError(f"{frame['code']}: {frame['message']}")


async def _open(session: aiohttp.ClientSession, url: str) -> _Caller:
    socket = await session.ws_connect(f"{url}/v1/chat", protocols=("trunkline.v1",), max_msg_size=0, compress=0)
    await socket.send_json({"type": "start", "customer": "bench"})
    await socket.receive_json()
    return _Caller(socket)


async def _handoffs(session: aiohttp.ClientSession, url: str, count: int) -> dict[str, Any]:
    """Alternate between two specialties, every question twice."""
    moved, plain = [], []
    caller = await _open(session, url)
    await caller.ask(_QUESTIONS[0])
    for number in range(1, count + 1):
        text = _QUESTIONS[number % 2]
        took_ms, kinds = await caller.ask(text)
        if "handoff" in kinds:
            moved.append(took_ms)
        took_ms, kinds = await caller.ask(text)
        if "handoff" not in kinds:
            plain.append(took_ms)
    return {
        "handoffs": len(moved),
        "handoff_turn_ms": _percentiles(moved),
        "plain_turn_ms": _percentiles(plain),
        "cost_ms_p50": round(_percentiles(moved)["p50"] - _percentiles(plain)["p50"], 2),
    }


async def _growth(session: aiohttp.ClientSession, url: str, turns: int) -> dict[str, Any]:
    """Ask the same in one conversation, again and again."""
    caller = await _open(session, url)
    times = [(await caller.ask(_QUESTIONS[0]))[0] for _ in range(turns)]
    tenth = max(1, turns // 10)
    return {
        "turns": turns,
        "first_tenth_ms": _percentiles(times[1 : tenth + 1]),
        "last_tenth_ms": _percentiles(times[-tenth:]),
    }


def _percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {f"p{percent}": round(ordered[len(ordered) * percent // 100], 2) for percent in (50, 95)}


async def _measure(url: str, handoffs: int, turns: int) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session:
        return {"handoff": await _handoffs(session, url, handoffs), "growth": await _growth(session, url, turns)}


def main() -> int:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--handoffs", type=int, default=200)
    parser.add_argument("--turns", type=int, default=1000)
    asked = parser.parse_args()
    print(json.dumps(asyncio.run(_measure(asked.url, asked.handoffs, asked.turns)), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
