"""Cost of a resume for the ingress and nats-server, by the number of missed frames.

Starts a private nats-server, writes conversations whose turns are interleaved, and resumes them by the code of the
ingress, with the ingress' limit of concurrent reads. Needs no suite:

    python -m bench.resume --conversations 400 --turns 75 --resumes 200
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import psutil
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.provision import provision
from trunkline_ingress.adapters.nats.announcements import NatsSocketPresence, NatsTurnCanceller
from trunkline_ingress.adapters.nats.conversation_log import NatsConversationLog
from trunkline_ingress.adapters.nats.inbox import NatsInbox
from trunkline_ingress.application.session import Session, SessionPorts
from trunkline_ingress.core.identity import Identity
from trunkline_protocols import streams
from trunkline_protocols.ids import turn_id
from trunkline_supervisor.adapters.nats_server import NatsNode, nats_server_command
from trunkline_supervisor.adapters.tcp import free_port

from bench.conversations import (
    ANSWER,
    FRAMES_PER_TURN,
    INGRESS,
    QUESTION,
    REGION,
    BenchConversation,
    append_answer,
    append_message,
    new_conversations,
    next_message,
)

_MAX_CONCURRENT_RESUMES: Final = 16
_MAX_CONCURRENT_WRITES: Final = 64
_ANSWER: Final = f"{ANSWER} " * 4

_T = TypeVar("_T")
_Target = TypeVar("_Target")


async def _append_turn(bus: Bus, conversation: BenchConversation) -> None:
    """Append one turn: a message and the commit that answers it."""
    message = next_message(conversation, QUESTION)
    await append_message(bus, conversation, message)
    inbox_seq = conversation.last_message
    turn = turn_id(conversation.id, inbox_seq)
    await append_answer(bus, conversation, message, _ANSWER, turn=turn, inbox_seq=inbox_seq)


async def _gather_limited(awaitables: Iterable[Awaitable[_T]], limit: int) -> list[_T]:
    """Await all, at most `limit` concurrently."""
    permits = asyncio.Semaphore(limit)

    async def run(awaitable: Awaitable[_T]) -> _T:
        async with permits:
            return await awaitable

    return list(await asyncio.gather(*map(run, awaitables)))


class _Bench:
    """Writes conversations, resumes them, and measures the cost."""

    def __init__(self, bus: Bus, server: psutil.Process) -> None:
        self._bus = bus
        self._server = server

    async def seed(self, conversations: int, turns: int) -> list[BenchConversation]:
        """Write conversations whose turns are interleaved: one turn of each at a time."""
        seeded = new_conversations(conversations)
        for _ in range(turns):
            await _gather_limited(
                (_append_turn(self._bus, conversation) for conversation in seeded), _MAX_CONCURRENT_WRITES
            )
        return seeded

    async def resume(self, conversation: BenchConversation, missed: int) -> Session:
        """Resume after `missed` frames."""
        session = Session(
            Identity(
                conversation=conversation.id,
                customer="bench",
                tenant="default",
                region=REGION,
                channel="web",
                locale="en",
            ),
            SessionPorts(
                NatsInbox(self._bus),
                NatsConversationLog(self._bus),
                NatsSocketPresence(self._bus),
                NatsTurnCanceller(self._bus, REGION),
            ),
            ingress=INGRESS,
            send=_discard,
            now=time.time,
            max_queued_frames=64,
        )
        frames = await session.restore(max(0, conversation.last_frame - missed))
        # `started` is not sent again.
        if frames is None or len(frames) != min(missed, conversation.last_frame - 1):
            raise RuntimeError(f"{conversation.id}: {missed} frames missed, {frames and len(frames)} replayed")
        return session

    async def measure(
        self, action: Callable[[_Target], Awaitable[_T]], targets: Sequence[_Target]
    ) -> tuple[list[_T], dict[str, float]]:
        """Apply an action to all targets; report the time for all of them and the CPU time for one, in milliseconds."""
        nats_before_s = sum(self._server.cpu_times()[:2])
        own_before_s, started = time.process_time(), time.perf_counter()
        results = await _gather_limited(map(action, targets), _MAX_CONCURRENT_RESUMES)
        took_s, own_s = time.perf_counter() - started, time.process_time() - own_before_s
        nats_s = sum(self._server.cpu_times()[:2]) - nats_before_s
        ms_each = 1000 / len(targets)
        return results, {
            "all_ms": round(took_s * 1000, 1),
            "ingress_cpu_ms": round(own_s * ms_each, 2),
            "nats_cpu_ms": round(nats_s * ms_each, 2),
        }


async def _discard(raw: bytes) -> None:
    """Discard a frame."""


async def _measure(options: argparse.Namespace, url: str, server: psutil.Process) -> dict[str, Any]:
    bus = await connect(url, "bench-resume")
    await provision(bus, region=REGION, specialties=["billing"], replicas=1)
    bench = _Bench(bus, server)
    conversations = await bench.seed(options.conversations, options.turns)
    report: dict[str, Any] = {
        "conversations": options.conversations,
        "turns": options.turns,
        "commits": (await bus.api(f"STREAM.INFO.{streams.CONVERSATIONS.name}"))["state"]["messages"],
        "resumes": options.resumes,
    }
    chosen = conversations[: options.resumes]
    cases = {
        "everything": FRAMES_PER_TURN * options.turns + 1,
        "20_frames": 20,
        "4_frames": 4,
        "1_frame": 1,
        "nothing": 0,
    }
    sessions: list[Session] = []
    for name, missed in cases.items():

        async def resume(conversation: BenchConversation, missed: int = missed) -> Session:
            return await bench.resume(conversation, missed)

        sessions, report[name] = await bench.measure(resume, chosen)

    async def send_message(session: Session) -> None:
        await session.accept_message(secrets.token_hex(8), "Thank you")

    _, report["first_message_after_resume"] = await bench.measure(send_message, sessions)
    await bus.close()
    return report


def main() -> int:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=400)
    parser.add_argument("--turns", type=int, default=75)
    parser.add_argument("--resumes", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        node = NatsNode("bench", Path(folder), free_port())
        with (Path(folder) / "log").open("w") as log:
            server = subprocess.Popen(nats_server_command(node), stdout=log, stderr=log)
            try:
                print(json.dumps(asyncio.run(_measure(options, node.url, psutil.Process(server.pid))), indent=2))
            finally:
                server.terminate()
                server.wait(10)
    return 0


if __name__ == "__main__":
    sys.exit(main())
