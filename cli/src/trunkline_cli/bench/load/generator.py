"""A generator: simulated customers that send the turns of a plan at their intended moments (open loop).

Arrivals follow a clock of their own, so a slow answer does not delay the next message: the turn goes to the customer
that has been idle for the longest time. If all are waiting, it is sent as soon as one has its answer, and its latency
counts from the intended moment.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final

from trunkline_protocols.frames import ServerFrame

from trunkline_cli.bench.load.core.pool import IdlePool
from trunkline_cli.bench.load.core.profile import seconds_of
from trunkline_cli.bench.load.core.records import ConversationRecord
from trunkline_cli.bench.load.core.schedule import Arrival, arrivals, share_of
from trunkline_cli.bench.load.customer import Customer, Script
from trunkline_cli.bench.load.plan import LoadPlan
from trunkline_cli.bench.load.sockets import SocketOpener, open_sessions
from trunkline_cli.errors import CommandError
from trunkline_cli.settings import ClientSettings

ANSWERS_TIMEOUT_S: Final = 30.0
_POLL_INTERVAL_S: Final = 0.05
_MAX_CONCURRENT_CLOSES: Final = 64
_MAX_CONCURRENT_WARM_UPS: Final = 16
_MAX_REOPENS: Final = 10
_REOPEN_DELAY_S: Final = 0.5

OnProgress = Callable[[float], None]


def _no_progress(_done: float) -> None:
    pass


class Generator:
    """Simulated customers of one process; use `open_generator` to create one."""

    def __init__(self, opener: SocketOpener, plan: LoadPlan, tasks: asyncio.TaskGroup) -> None:
        """Run the readers of sockets in `tasks`."""
        self._opener = opener
        self._plan = plan
        self._tasks = tasks
        self._rng = random.Random(f"{plan.seed}-{plan.process}")  # noqa: S311 - load, not secrets
        self._scripts = 0
        self._customers: dict[int, Customer] = {}
        self._readers: list[asyncio.Task[None]] = []
        self._pool: IdlePool[Customer] | None = None
        self._start_at = 0.0
        self._closing = False
        self.records: list[ConversationRecord] = []
        """Of all conversations, ended ones too."""
        self.replaced = 0

    # -- opening ---

    async def open(self, on_progress: OnProgress = _no_progress) -> None:
        """Open the conversations; raise `CommandError` if one cannot be opened."""
        opened = 0

        async def open_one(number: int) -> None:
            nonlocal opened
            await self._open(number)
            opened += 1
            on_progress(opened)

        await asyncio.gather(*(open_one(number) for number in self._plan.numbers))

    async def _open(self, number: int) -> Customer:
        generation = f"-{self.replaced}" if number in self._customers else ""
        opened = await self._opener.open(number, f"bench-{number}{generation}")
        customer = Customer(number, opened.socket, self._next_script())
        customer.settled.set()
        customer.receive(opened.first, self._plan.on_refusal)
        self._customers[number] = customer
        self.records.append(customer.record)
        self._readers.append(self._tasks.create_task(self._read(customer)))
        return customer

    def _next_script(self) -> Script:
        texts = self._plan.texts
        self._scripts += 1
        chosen = texts[(self._scripts - 1) % len(texts)] if self._plan.is_replay else self._rng.choice(texts)
        return Script(chosen, self._rng, in_order=self._plan.is_replay)

    def _active(self) -> list[Customer]:
        return [customer for number, customer in self._customers.items() if self._plan.is_active(number)]

    # -- warming up ---

    async def warm_up(self, on_progress: OnProgress = _no_progress) -> None:
        """Send the turns before the load, each after the answer to the one before; raise `CommandError` without one."""
        permits = asyncio.Semaphore(_MAX_CONCURRENT_WARM_UPS)
        sent = 0

        async def warm_one(customer: Customer) -> None:
            nonlocal sent
            async with permits:
                for _ in range(self._plan.warm_up):
                    await self._warm_up_turn(customer)
                    sent += 1
                    on_progress(sent)

        await asyncio.gather(*(warm_one(customer) for customer in self._active()))

    async def _warm_up_turn(self, customer: Customer) -> None:
        if customer.script.is_over:
            return
        await customer.send(due_at=None, phase=None)
        try:
            async with asyncio.timeout(ANSWERS_TIMEOUT_S):
                await customer.settled.wait()
        except TimeoutError as error:
            raise CommandError(f"no answer within {ANSWERS_TIMEOUT_S:g} s while warming up") from error
        if customer.is_gone or customer.record.turns[-1].answered_at is None:
            reasons = ", ".join(f"{code}: {message}" for code, message in customer.record.errors[-1:])
            raise CommandError(f"a message was not answered while warming up: {reasons or 'refused'}")

    # -- load ---

    async def drive(self, start_at: float, on_progress: OnProgress = _no_progress) -> None:
        """Send the load from a moment of the monotonic clock on, and wait for the answers."""
        self._start_at = start_at
        active = self._active()
        self._rng.shuffle(active)
        self._pool = pool = IdlePool(customer for customer in active if not customer.script.is_over)
        for customer in active:
            if customer.script.is_over:
                self._release(customer)
        for arrival in self._arrivals():
            await asyncio.sleep(max(0.0, start_at + arrival.at_s - time.monotonic()))
            on_progress(arrival.at_s)
            pool.expire(self._now_s())
            if (idle := self._take(pool, arrival)) is not None:
                await self._send(idle, arrival)
        # All processes end their load at the same time: the last arrival of a share may be an earlier one.
        await asyncio.sleep(max(0.0, start_at + seconds_of(self._plan.phases) - time.monotonic()))
        await self._wait_for_answers(pool)

    @staticmethod
    def _take(pool: IdlePool[Customer], arrival: Arrival) -> Customer | None:
        """Return an idle customer whose socket is open."""
        customer = pool.take(arrival)
        while customer is not None and customer.is_gone:
            customer = pool.take(arrival)
        return customer

    def _arrivals(self) -> Iterator[Arrival]:
        plan = self._plan
        rng = random.Random(plan.seed)  # noqa: S311 - load, not secrets
        return share_of(arrivals(plan.phases, plan.arrivals, rng), plan.process, plan.processes)

    def _now_s(self) -> float:
        return time.monotonic() - self._start_at

    async def _send(self, customer: Customer, arrival: Arrival) -> None:
        await customer.send(due_at=self._start_at + arrival.at_s, phase=arrival.phase)

    async def _wait_for_answers(self, pool: IdlePool[Customer]) -> None:
        deadline = time.monotonic() + ANSWERS_TIMEOUT_S
        while time.monotonic() < deadline:
            pool.expire(self._now_s())
            waiting = any(customer.record.is_waiting and not customer.is_gone for customer in self._customers.values())
            if not waiting and not pool.has_waiting:
                return
            await asyncio.sleep(_POLL_INTERVAL_S)

    # -- frames ---

    async def _read(self, customer: Customer) -> None:
        """Read until the socket is closed, and open another conversation in place of an ended one."""
        await customer.read(self._on_frame)
        if self._closing:
            return
        if not customer.record.is_closed and not customer.has_ended:
            customer.record.errors.append((f"closed {customer.socket.close_code}", "by the suite"))
        await self._replace(customer)

    def _on_frame(self, customer: Customer, frame: ServerFrame) -> None:
        was_waiting = customer.record.is_waiting
        # Before the load every turn has to be answered: it makes a conversation as long as requested.
        retry_after_s = customer.receive(frame, self._plan.on_refusal if self._pool is not None else "retry")
        if retry_after_s is not None:
            self._tasks.create_task(self._retry(customer, retry_after_s))
        elif was_waiting and not customer.record.is_waiting:
            self._release(customer)

    async def _retry(self, customer: Customer, after_s: float) -> None:
        await asyncio.sleep(after_s)
        if not self._closing and not customer.is_gone:
            await customer.send_again()

    def _release(self, customer: Customer) -> None:
        """Let an idle customer send a turn that waits, or make it available; one at its end is replaced."""
        if self._pool is None or self._closing or customer.is_gone or not self._plan.is_active(customer.number):
            return
        if customer.script.is_over:
            self._tasks.create_task(customer.end())
        elif (arrival := self._pool.release(customer, self._now_s())) is not None:
            self._tasks.create_task(self._send(customer, arrival))

    async def _replace(self, ended: Customer) -> None:
        for attempt in range(_MAX_REOPENS):
            if self._closing:
                return
            try:
                self.replaced += 1
                customer = await self._open(ended.number)
            except CommandError as error:
                ended.record.errors.append(("open", str(error)))
                await asyncio.sleep(_REOPEN_DELAY_S * (attempt + 1))
            else:
                self._release(customer)
                return

    # -- end ---

    @property
    def skipped(self) -> list[int]:
        """Number of skipped turns by phase."""
        found = [0] * len(self._plan.phases)
        for arrival in self._pool.skipped if self._pool is not None else ():
            found[arrival.phase] += 1
        return found

    @property
    def delayed(self) -> int:
        """Number of turns that waited for an idle customer."""
        return self._pool.delayed if self._pool is not None else 0

    async def close(self) -> None:
        """Close the sockets."""
        self._closing = True
        permits = asyncio.Semaphore(_MAX_CONCURRENT_CLOSES)

        async def close_one(customer: Customer) -> None:
            async with permits:
                await customer.socket.close()

        await asyncio.gather(*(close_one(customer) for customer in self._customers.values()))
        for reader in self._readers:
            reader.cancel()


@asynccontextmanager
async def open_generator(settings: ClientSettings, plan: LoadPlan) -> AsyncIterator[Generator]:
    """Yield a generator without open conversations; its tasks end with it."""
    async with open_sessions(settings, plan) as opener:
        try:
            async with asyncio.TaskGroup() as tasks:
                generator = Generator(opener, plan, tasks)
                yield generator
                await generator.close()
        except* CommandError as errors:
            raise errors.exceptions[0] from None
