"""`trunkline bench load`: an open-loop load on a running suite.

Arrivals follow a clock of their own, so a slow answer does not delay the next message. If a conversation waits for an
answer, the turn goes to an idle one; if all are waiting, it is skipped. Overhead is the response time less the model's
own time, which the suite records in the turn's commit.
"""

from __future__ import annotations

import asyncio
import random
import resource
import time
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import aiohttp
from trunkline_protocols import codec
from trunkline_protocols.frames import SUBPROTOCOL, Message, Start

from trunkline_cli.bench.load_report import LoadResult, load_report
from trunkline_cli.bench.phases import Phases
from trunkline_cli.bench.records import ConversationRecord, TurnRecord
from trunkline_cli.bench.suite_usage import find_processes
from trunkline_cli.client import address, authorization
from trunkline_cli.errors import CommandError
from trunkline_cli.settings import ClientSettings
from trunkline_cli.traces import ConversationTrace

_MAX_CONCURRENT_OPENS: Final = 64
_MAX_CONCURRENT_TRACES: Final = 16
_ANSWERS_TIMEOUT_S: Final = 30.0
_SETTLE_S: Final = 1.0
_POLL_INTERVAL_S: Final = 0.05
_SPARE_FILES: Final = 256
"""Open files of the bench in addition to its sockets."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Parameters of a load run: `rate` in turns per second over all conversations."""

    conversations: int
    rate: float
    duration_s: float
    texts: list[list[str]]
    seed: int


@dataclass(slots=True)
class Connection:
    """An open conversation with the texts that it sends."""

    record: ConversationRecord
    socket: aiohttp.ClientWebSocketResponse
    texts: list[str]


async def run_load(settings: ClientSettings, plan: LoadPlan) -> str:
    """Run the plan and return the report as JSON."""
    raise_file_limit(plan.conversations)
    rng = random.Random(plan.seed)  # noqa: S311 - load, not secrets
    with Phases() as phases:
        async with open_session() as session:
            usage = await find_processes(session, settings)
            connections = await open_all(session, settings, plan, rng, phases)
            await asyncio.sleep(_SETTLE_S)
            cpu_before, client_cpu_before = usage.cpu_s(), time.process_time()
            skipped = await drive(connections, plan, rng, phases)
            cpu_after, client_cpu_after = usage.cpu_s(), time.process_time()
            for connection in connections:
                await connection.socket.close()
            records = [connection.record for connection in connections]
            await read_traces(session, settings, records, phases)
    return load_report(
        LoadResult(
            conversations=plan.conversations,
            rate=plan.rate,
            duration_s=plan.duration_s,
            records=records,
            skipped=skipped,
            cpu_s={service: seconds - cpu_before.get(service, 0.0) for service, seconds in cpu_after.items()},
            client_cpu_s=client_cpu_after - client_cpu_before,
            rss_mib=usage.rss_mib(),
        )
    )


# -- load ---


def open_session() -> aiohttp.ClientSession:
    """Open a session with as many connections as a plan has conversations; aiohttp's default is a hundred."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


async def open_all(
    session: aiohttp.ClientSession, settings: ClientSettings, plan: LoadPlan, rng: random.Random, phases: Phases
) -> list[Connection]:
    """Open the conversations of a plan."""
    limit = asyncio.Semaphore(_MAX_CONCURRENT_OPENS)
    phases.begin(f"opening {plan.conversations} conversations", plan.conversations)

    async def open_one(number: int) -> Connection:
        async with limit:
            socket = await session.ws_connect(
                address(settings, "/v1/chat"), protocols=(SUBPROTOCOL,), compress=0, max_msg_size=0
            )
            await socket.send_str(codec.encode(Start(customer=f"bench-{number}", channel="bench")).decode())
            connection = Connection(ConversationRecord(), socket, rng.choice(plan.texts))
            connection.record.record_frame(codec.server_frame.decode(await socket.receive_str()), time.monotonic())
            phases.advance(number)
            return connection

    try:
        return list(await asyncio.gather(*(open_one(number) for number in range(plan.conversations))))
    except (aiohttp.ClientError, TypeError) as error:
        raise CommandError(f"cannot open {plan.conversations} conversations at {settings.url}: {error}") from error


async def drive(connections: list[Connection], plan: LoadPlan, rng: random.Random, phases: Phases) -> int:
    """Send the load and wait for the answers; return the number of skipped turns."""
    async with asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(_read(connection)) for connection in connections]
        skipped = await _send_at_rate(connections, plan, rng, phases)
        await _wait_for_answers(connections, phases)
        for reader in readers:
            reader.cancel()
    return skipped


async def _read(connection: Connection) -> None:
    async for message in connection.socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            connection.record.record_frame(codec.server_frame.decode(message.data), time.monotonic())
    connection.record.errors.append(f"closed with {connection.socket.close_code}")


async def _send_at_rate(connections: list[Connection], plan: LoadPlan, rng: random.Random, phases: Phases) -> int:
    """Send turns until the duration is over; return how many were skipped because every conversation was waiting."""
    idle = deque(rng.sample(connections, len(connections)))
    start = time.monotonic()
    due_at = start
    skipped = 0
    phases.begin(f"sending {plan.rate:g} turns per second", plan.duration_s)
    while (due_at := due_at + rng.expovariate(plan.rate)) < start + plan.duration_s:
        await asyncio.sleep(max(0.0, due_at - time.monotonic()))
        phases.advance(due_at - start)
        for _ in range(len(idle)):
            idle.rotate(-1)
            if not idle[0].record.is_waiting:
                break
        else:
            skipped += 1
            continue
        await _send(idle[0], rng)
    return skipped


async def _send(connection: Connection, rng: random.Random) -> None:
    turn = TurnRecord(id=f"m{len(connection.record.turns) + 1}", sent_at=time.monotonic())
    connection.record.record_sent(turn)
    await connection.socket.send_str(codec.encode(Message(id=turn.id, text=rng.choice(connection.texts))).decode())


async def _wait_for_answers(connections: list[Connection], phases: Phases) -> None:
    phases.begin("waiting for the last answers", len(connections))
    deadline = time.monotonic() + _ANSWERS_TIMEOUT_S
    waiting = connections
    while waiting and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_INTERVAL_S)
        waiting = [connection for connection in waiting if connection.record.is_waiting]
        phases.advance(len(connections) - len(waiting))


# -- times of the model ---


async def read_traces(
    session: aiohttp.ClientSession, settings: ClientSettings, records: list[ConversationRecord], phases: Phases
) -> list[ConversationTrace]:
    """Add the model's own times to the turns; return the traces."""
    traces: list[ConversationTrace] = []
    used = [record for record in records if record.turns]
    phases.begin("reading the model's times", len(used))
    limit = asyncio.Semaphore(_MAX_CONCURRENT_TRACES)
    headers = authorization(settings.operator_token)

    async def read_one(record: ConversationRecord) -> None:
        path = f"/v1/ops/trace/{record.conversation}"
        async with limit, session.get(address(settings, path), headers=headers) as response:
            if response.status == HTTPStatus.OK:
                traces.append(trace := codec.decode(await response.read(), ConversationTrace))
                _add_model_times(record, trace)

    for done, reading in enumerate(asyncio.as_completed([read_one(record) for record in used]), start=1):
        await reading
        phases.advance(done)
    return traces


def _add_model_times(record: ConversationRecord, trace: ConversationTrace) -> None:
    turns = {turn.id: turn for turn in record.turns}
    first_token_ms = summary_ms = 0.0
    for step in trace.steps:
        if step.type == "llm.complete":
            first_token_ms = float(step.detail.get("first_token_ms", 0.0))
        elif step.type == "turn.hand_off":
            summary_ms += float(step.detail.get("model_ms", 0.0))
        elif step.type == "turn.answered" and (turn := turns.get(str(step.detail.get("in_reply_to")))) is not None:
            turn.model_ms = summary_ms + float(step.detail.get("model_ms", 0.0))
            turn.model_first_token_ms = summary_ms + first_token_ms
            summary_ms = 0.0


def raise_file_limit(sockets: int) -> None:
    """Raise the limit of open files for a number of sockets, or raise `CommandError`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = sockets + _SPARE_FILES
    if soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise CommandError(f"{sockets} conversations need {needed} open files, the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
