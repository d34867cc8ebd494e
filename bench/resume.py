"""What a resume costs the ingress and nats-server, by what the customer has missed.

Starts a nats-server of its own, writes conversations into it whose turns lie between those of all others, and has their
customers come back through the ingress' own code, as many at once as an ingress lets read. Needs no suite:

    python bench/resume.py --conversations 400 --turns 75 --resumes 200
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
from dataclasses import dataclass
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
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.ids import ConversationId, Instance, Specialty, conversation_id, turn_id
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import Commit, Started, TurnAnswered
from trunkline_protocols.rules.message_id_filter import with_id
from trunkline_supervisor.adapters.nats_server import NatsNode, nats_server_command
from trunkline_supervisor.adapters.tcp import free_port

_REGION: Final = "local"
_ME: Final = Instance("bench-ingress")
_AT_ONCE: Final = 16
_IN_FLIGHT: Final = 64
_FRAMES: Final = 2
"""Of a turn: `accepted` and `message`."""


_T = TypeVar("_T")
_Who = TypeVar("_Who")


@dataclass(slots=True)
class _Open:
    """A conversation: what its next turn follows."""

    id: ConversationId
    turns: int = 0
    last_commit: int = 0
    last_message: int = 0
    ids: bytes = b""

    @property
    def high(self) -> int:
        """The number of its last frame."""
        return 1 + _FRAMES * self.turns


async def _turn(bus: Bus, conversation: _Open) -> None:
    """Write one turn more: a message and the commit that answers it."""
    number = conversation.turns + 1
    said = TurnReceived(
        conversation=conversation.id,
        message_id=f"m{number}",
        text="I was charged twice for my order, can I get a refund?",
        seq=conversation.high + 1,
        previous=conversation.last_message,
        customer="bench",
        tenant="default",
        region=_REGION,
        channel="web",
        locale="en",
        ingress=_ME,
        received_at=time.time(),
    )
    message_id = f"{conversation.id}-{said.message_id}"
    inbox = await bus.append(subjects.inbox(_REGION, conversation.id), codec.encode(said), message_id=message_id)
    answered = TurnAnswered(
        message_id=said.message_id,
        accepted_seq=said.seq,
        text=said.text,
        received_at=said.received_at,
        answer="We refund the second charge within five days. You do not have to do anything. " * 4,
        specialty="billing",
        agent="billing-charges",
    )
    opening = [Started(customer="bench", tenant="default", channel="web", locale="en")] if number == 1 else []
    commit = Commit(
        conversation=conversation.id,
        region=_REGION,
        tenant="default",
        customer="bench",
        kind="turn",
        turn=turn_id(conversation.id, inbox.seq),
        epoch=0,
        owner=Specialty("billing"),
        agent="billing-charges",
        inbox_seq=inbox.seq,
        previous=conversation.last_commit,
        frames_before=_FRAMES * conversation.turns,
        at=time.time(),
        events=[*opening, answered],
        ids_before=conversation.ids,
    )
    log = await bus.append(
        subjects.log(_REGION, conversation.id, "turn"), codec.encode(commit), message_id=f"{commit.turn}-turn-0"
    )
    conversation.ids = with_id(conversation.ids, said.message_id)
    conversation.turns, conversation.last_message, conversation.last_commit = number, inbox.seq, log.seq


async def _all(doings: Iterable[Awaitable[_T]], at_once: int) -> list[_T]:
    """Do all, so many at once."""
    room = asyncio.Semaphore(at_once)

    async def one(doing: Awaitable[_T]) -> _T:
        async with room:
            return await doing

    return list(await asyncio.gather(*map(one, doings)))


class _Bench:
    """Customers who come back, and what that costs."""

    def __init__(self, bus: Bus, server: psutil.Process) -> None:
        self._bus = bus
        self._server = server

    async def seed(self, conversations: int, turns: int) -> list[_Open]:
        """Write conversations in which everybody says something in turn."""
        opened = [_Open(conversation_id(secrets.token_hex(10))) for _ in range(conversations)]
        for _ in range(turns):
            await _all((_turn(self._bus, conversation) for conversation in opened), _IN_FLIGHT)
        return opened

    async def resume(self, conversation: _Open, missed: int) -> Session:
        """Come back after so many frames were missed."""
        connection = Session(
            Identity(
                conversation=conversation.id,
                customer="bench",
                tenant="default",
                region=_REGION,
                channel="web",
                locale="en",
            ),
            SessionPorts(
                NatsInbox(self._bus),
                NatsConversationLog(self._bus),
                NatsSocketPresence(self._bus),
                NatsTurnCanceller(self._bus, _REGION),
            ),
            ingress=_ME,
            send=_nowhere,
            now=time.time,
            max_queued_frames=64,
        )
        frames = await connection.restore(max(0, conversation.high - missed))
        # `started` is not sent again.
        if frames is None or len(frames) != min(missed, conversation.high - 1):
            raise RuntimeError(f"{conversation.id}: {missed} missed, {frames and len(frames)} told")
        return connection

    async def measure(
        self, what: Callable[[_Who], Awaitable[_T]], whom: Sequence[_Who]
    ) -> tuple[list[_T], dict[str, float]]:
        """Do it for each, as many at once as an ingress lets read. Milliseconds: for all of them, and CPU for one."""
        server = sum(self._server.cpu_times()[:2])
        asker, began = time.process_time(), time.perf_counter()
        results = await _all(map(what, whom), _AT_ONCE)
        wall, cpu = time.perf_counter() - began, time.process_time() - asker
        server = sum(self._server.cpu_times()[:2]) - server
        each = 1000 / len(whom)
        return results, {
            "all_ms": round(wall * 1000, 1),
            "ingress_cpu_ms": round(cpu * each, 2),
            "nats_cpu_ms": round(server * each, 2),
        }


async def _nowhere(raw: bytes) -> None:
    pass


async def _measure(asked: argparse.Namespace, url: str, server: psutil.Process) -> dict[str, Any]:
    bus = await connect(url, "bench-resume")
    await provision(bus, region=_REGION, specialties=["billing"], replicas=1)
    bench = _Bench(bus, server)
    conversations = await bench.seed(asked.conversations, asked.turns)
    found: dict[str, Any] = {
        "conversations": asked.conversations,
        "turns": asked.turns,
        "commits": (await bus.api(f"STREAM.INFO.{streams.CONVERSATIONS.name}"))["state"]["messages"],
        "resumes": asked.resumes,
    }
    chosen = conversations[: asked.resumes]
    cases = {"everything": _FRAMES * asked.turns + 1, "20_frames": 20, "4_frames": 4, "1_frame": 1, "nothing": 0}
    connections: list[Session] = []
    for name, missed in cases.items():

        async def come_back(conversation: _Open, missed: int = missed) -> Session:
            return await bench.resume(conversation, missed)

        connections, found[name] = await bench.measure(come_back, chosen)

    async def say(connection: Session) -> None:
        await connection.accept_message(secrets.token_hex(8), "Thank you")

    _, found["first_message_after_it"] = await bench.measure(say, connections)
    await bus.close()
    return found


def main() -> int:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=400)
    parser.add_argument("--turns", type=int, default=75)
    parser.add_argument("--resumes", type=int, default=200)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        node = NatsNode("bench", Path(folder), free_port(), free_port())
        with (Path(folder) / "log").open("w") as log:
            server = subprocess.Popen(nats_server_command(node), stdout=log, stderr=log)
            try:
                print(json.dumps(asyncio.run(_measure(asked, node.url, psutil.Process(server.pid))), indent=2))
            finally:
                server.terminate()
                server.wait(10)
    return 0


if __name__ == "__main__":
    sys.exit(main())
