"""`trunkline bench load`: an open-loop load on a running suite.

Arrivals follow their own clock: a slow answer does not slow the next question down. A conversation that still waits is
not asked again; its turn goes to one that is idle, and is late only when none is. Overhead is the response less the
model's own time, which the suite recorded in the turn's commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

import aiohttp
import msgspec
import psutil
from trunkline_protocols import codec
from trunkline_protocols.frames import SUBPROTOCOL, Message, Start
from trunkline_protocols.presence import SuiteStatus

from trunkline_cli.bench.phases import Phases
from trunkline_cli.bench.record import Customer, TurnRecord
from trunkline_cli.errors import CommandError
from trunkline_cli.operate import Trace
from trunkline_cli.settings import ClientSettings

_OPENING_AT_ONCE: Final = 64
_TRACES_AT_ONCE: Final = 16
_PATIENCE_S: Final = 30.0
_SETTLE_S: Final = 1.0
_PERCENTILES: Final = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What to do: `rate` in turns a second over all conversations."""

    conversations: int
    rate: float
    duration_s: float
    texts: list[list[str]]
    seed: int


@dataclass(slots=True)
class _Caller:
    """One open conversation."""

    customer: Customer
    socket: aiohttp.ClientWebSocketResponse
    texts: list[str]


async def run_load(settings: ClientSettings, plan: LoadPlan) -> str:
    """Run the plan and return the report as JSON."""
    _allow_many_sockets(plan.conversations)
    random_ = random.Random(plan.seed)  # noqa: S311 - load, not secrets
    connector = aiohttp.TCPConnector(limit=0)
    with Phases() as phases:
        async with aiohttp.ClientSession(connector=connector) as session:
            processes = await _processes(session, settings)
            callers = await _open_all(session, settings, plan, random_, phases)
            await asyncio.sleep(_SETTLE_S)
            before = _cpu_s(processes)
            own_before = time.process_time()
            async with asyncio.TaskGroup() as tasks:
                readers = [tasks.create_task(_read(caller)) for caller in callers]
                late = await _say_at_rate(callers, plan, random_, phases)
                await _wait_for_answers(callers, phases)
                for reader in readers:
                    reader.cancel()
            cpu = {service: seconds - before.get(service, 0.0) for service, seconds in _cpu_s(processes).items()}
            own_cpu = time.process_time() - own_before
            for caller in callers:
                await caller.socket.close()
            await _learn_model_times(session, settings, [caller.customer for caller in callers], phases)
    return _report(plan, [caller.customer for caller in callers], cpu, own_cpu, _rss_mib(processes), late)


# -- load ---


async def _open_all(
    session: aiohttp.ClientSession, settings: ClientSettings, plan: LoadPlan, random_: random.Random, phases: Phases
) -> list[_Caller]:
    limit = asyncio.Semaphore(_OPENING_AT_ONCE)
    phases.begin(f"opening {plan.conversations} conversations", plan.conversations)

    async def open_one(number: int) -> _Caller:
        async with limit:
            socket = await session.ws_connect(
                f"{settings.url.rstrip('/')}/v1/chat", protocols=(SUBPROTOCOL,), compress=0, max_msg_size=0
            )
            await socket.send_str(codec.encode(Start(customer=f"bench-{number}", channel="bench")).decode())
            caller = _Caller(Customer(), socket, random_.choice(plan.texts))
            caller.customer.hear(codec.server_frame.decode(await socket.receive_str()), time.monotonic())
            phases.reached(number)
            return caller

    try:
        return list(await asyncio.gather(*(open_one(number) for number in range(plan.conversations))))
    except (aiohttp.ClientError, TypeError) as error:
        raise CommandError(f"cannot open {plan.conversations} conversations at {settings.url}: {error}") from error


async def _read(caller: _Caller) -> None:
    async for message in caller.socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            caller.customer.hear(codec.server_frame.decode(message.data), time.monotonic())
    caller.customer.errors.append(f"closed with {caller.socket.close_code}")


async def _say_at_rate(callers: list[_Caller], plan: LoadPlan, random_: random.Random, phases: Phases) -> int:
    """Send until the duration is over; returns how many turns found every conversation waiting."""
    idle = deque(random_.sample(callers, len(callers)))
    start = time.monotonic()
    due_at = start
    late = 0
    phases.begin(f"asking {plan.rate:g} times a second", plan.duration_s)
    while (due_at := due_at + random_.expovariate(plan.rate)) < start + plan.duration_s:
        await asyncio.sleep(max(0.0, due_at - time.monotonic()))
        phases.reached(due_at - start)
        for _ in range(len(idle)):
            idle.rotate(-1)
            if not idle[0].customer.waits:
                break
        else:
            late += 1
            continue
        await _say(idle[0], due_at, random_)
    return late


async def _say(caller: _Caller, due_at: float, random_: random.Random) -> None:
    turn = TurnRecord(id=f"m{len(caller.customer.turns) + 1}", due_at=due_at, sent_at=time.monotonic())
    caller.customer.said(turn)
    await caller.socket.send_str(codec.encode(Message(id=turn.id, text=random_.choice(caller.texts))).decode())


async def _wait_for_answers(callers: list[_Caller], phases: Phases) -> None:
    phases.begin("waiting for the last answers", len(callers))
    deadline = time.monotonic() + _PATIENCE_S
    waiting = callers
    while waiting and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        waiting = [caller for caller in waiting if caller.customer.waits]
        phases.reached(len(callers) - len(waiting))


# -- what the suite did meanwhile ---


async def _processes(session: aiohttp.ClientSession, settings: ClientSettings) -> list[tuple[str, psutil.Process]]:
    """Processes of the suite that run on this machine, with their service; none when it runs elsewhere."""
    token = settings.operator_token
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
    try:
        async with session.get(f"{settings.url.rstrip('/')}/v1/ops/status", headers=headers) as response:
            raw = await response.read()
            if response.status != 200:  # noqa: PLR2004
                raise CommandError(f"{settings.url} does not tell its status: {response.status} {raw[:200]!r}")
    except aiohttp.ClientError as error:
        raise CommandError(f"cannot reach {settings.url}: {error}; is a suite running? (trunkline up)") from error
    status = msgspec.json.decode(raw, type=SuiteStatus)
    found = []
    for process in status.processes:
        try:
            found.append((process.service, psutil.Process(process.pid)))
        except psutil.Error:
            continue
    return found


def _cpu_s(processes: list[tuple[str, psutil.Process]]) -> dict[str, float]:
    """CPU seconds by service; a process that ended meanwhile is not counted."""
    used: dict[str, float] = {}
    for service, process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            seconds = times.user + times.system + _children_cpu_s(service, process)
            used[service] = used.get(service, 0.0) + seconds
    return used


def _children_cpu_s(service: str, process: psutil.Process) -> float:
    """PostgreSQL works in children; the supervisor's children are counted by themselves."""
    if service == "supervisor":
        return 0.0
    return sum(sum(child.cpu_times()[:2]) for child in process.children(recursive=True))


def _rss_mib(processes: list[tuple[str, psutil.Process]]) -> dict[str, float]:
    held: dict[str, float] = {}
    for service, process in processes:
        with contextlib.suppress(psutil.Error):
            held[service] = held.get(service, 0.0) + process.memory_info().rss / 2**20
    return {service: round(mib, 1) for service, mib in held.items()}


async def _learn_model_times(
    session: aiohttp.ClientSession, settings: ClientSettings, customers: list[Customer], phases: Phases
) -> None:
    asked = [customer for customer in customers if customer.turns]
    phases.begin("reading the model's times", len(asked))
    limit = asyncio.Semaphore(_TRACES_AT_ONCE)
    token = settings.operator_token
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}

    async def learn(customer: Customer) -> None:
        address = f"{settings.url.rstrip('/')}/v1/ops/trace/{customer.conversation}"
        async with limit, session.get(address, headers=headers) as response:
            if response.status == 200:  # noqa: PLR2004
                _take_model_times(customer, msgspec.json.decode(await response.read(), type=Trace))

    for done, learning in enumerate(asyncio.as_completed([learn(customer) for customer in asked]), start=1):
        await learning
        phases.reached(done)


def _take_model_times(customer: Customer, trace: Trace) -> None:
    turns = {turn.id: turn for turn in customer.turns}
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


# -- the report ---


def _report(
    plan: LoadPlan,
    customers: list[Customer],
    cpu: dict[str, float],
    own_cpu_s: float,
    rss_mib: dict[str, float],
    late: int,
) -> str:
    turns = [turn for customer in customers for turn in customer.turns]
    answered = [turn for turn in turns if turn.answered_at is not None]
    accepted = [turn for turn in turns if turn.accepted_at is not None]
    responses = [(turn.answered_at or 0.0) - turn.sent_at for turn in answered]
    tokens = [turn for turn in answered if turn.first_token_at is not None]
    errors = [error for customer in customers for error in customer.errors]
    per_turn = {service: round(seconds * 1000 / max(1, len(answered)), 3) for service, seconds in sorted(cpu.items())}
    report = {
        "conversations": plan.conversations,
        "rate": plan.rate,
        "duration_s": plan.duration_s,
        "turns": len(turns),
        "accepted": len(accepted),
        "answered": len(answered),
        "lost": len(accepted) - sum(turn.answered_at is not None for turn in accepted),
        "duplicated": sum(customer.duplicated for customer in customers),
        "misordered": sum(customer.misordered for customer in customers),
        "errors": len(errors),
        "error_samples": errors[:5],
        "skipped": late,
        "overhead_ms": _distribution(
            [response * 1000 - turn.model_ms for response, turn in zip(responses, answered, strict=True)]
        ),
        "first_token_ms": _distribution([((turn.first_token_at or 0.0) - turn.sent_at) * 1000 for turn in tokens]),
        "first_token_overhead_ms": _distribution(
            [((turn.first_token_at or 0.0) - turn.sent_at) * 1000 - turn.model_first_token_ms for turn in tokens]
        ),
        "response_ms": _distribution([response * 1000 for response in responses]),
        "cpu_ms_per_turn": {"total": round(sum(per_turn.values()), 3), **per_turn},
        "client_cpu_ms_per_turn": round(own_cpu_s * 1000 / max(1, len(answered)), 3),
        "rss_mib": dict(sorted(rss_mib.items())),
    }
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def _distribution(values_ms: list[float]) -> dict[str, float]:
    if not values_ms:
        return {}
    ordered = sorted(values_ms)
    found = {
        f"p{percent}": round(ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))], 2)
        for percent in _PERCENTILES
    }
    return {**found, "max": round(ordered[-1], 2)}


def _allow_many_sockets(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + 256
    if soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise CommandError(f"{wanted} conversations need {needed} open files, this shell allows {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
