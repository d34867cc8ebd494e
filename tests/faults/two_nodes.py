"""Two suites side by side on one NATS and one PostgreSQL: ./just two-nodes [--duration 600] [--customers 20].

Customers talk to both nodes; then one node is stopped, and its customers go on at the other one. Exit status 1 if a
process was replaced, an answer is missing or double, or a row of the archive is.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg

from tests.support.customer import Customer
from tests.support.nats import nats_server
from tests.support.postgres import PostgresServer
from tests.support.suite import Suite

QUESTION: Final = "I was charged twice for my order, can I get a refund?"
_PAUSE_S: Final = 0.2
_ARCHIVED_WITHIN_S: Final = 60.0


class Nodes:
    """Two suites and the customers of each."""

    def __init__(self, suites: list[Suite], postgres: PostgresServer) -> None:
        """Start with the process ids that the nodes have now."""
        self.suites = suites
        self.postgres = postgres
        self.first_pids = self.pids()
        self.asked: Counter[str] = Counter()
        """Messages by conversation."""

    def pids(self) -> dict[str, int]:
        """Return the process ids of both nodes by instance, as the first node shows them."""
        return {each["instance"]: each["pid"] for each in self.processes(self.suites[0])}

    @staticmethod
    def processes(suite: Suite) -> list[dict[str, Any]]:
        """Return the processes of all nodes, as one of them shows them."""
        processes: list[dict[str, Any]] = suite.get("/v1/ops/status")["processes"]
        return processes

    async def talk(self, customer: Customer, *, until: float) -> None:
        """Send messages one after another, each once, until a time of the monotonic clock."""
        while time.monotonic() < until:
            self.asked[customer.conversation] += 1
            await customer.ask(f"m{self.asked[customer.conversation]}", QUESTION)
            await asyncio.sleep(_PAUSE_S)

    async def check_archive(self) -> None:
        """Check that PostgreSQL has each message and its answer once."""
        deadline = time.monotonic() + _ARCHIVED_WITHIN_S
        while (found := await self._archived()) != self.asked and time.monotonic() < deadline:
            await asyncio.sleep(0.5)
        assert found == self.asked, f"archived {found.total()} of {self.asked.total()} messages"

    async def _archived(self) -> Counter[str]:
        connection = await asyncpg.connect(self.postgres.dsn)
        try:
            rows = await connection.fetch("SELECT conversation, turn, role FROM conversation_messages")
        finally:
            await connection.close()
        assert len({tuple(row) for row in rows}) == len(rows), "a row is there twice"
        return Counter(row["conversation"] for row in rows if row["role"] == "customer")


@asynccontextmanager
async def two_nodes(folder: Path) -> AsyncIterator[Nodes]:
    """Run both suites; they are stopped at the end if they still run."""
    postgres = PostgresServer(_new(folder / "postgres"))
    await postgres.start()
    try:
        with nats_server(_new(folder / "nats")) as nats_url, _both(folder, nats_url, postgres.dsn) as suites:
            yield Nodes(suites, postgres)
    finally:
        await asyncio.to_thread(postgres.stop)


@contextmanager
def _both(folder: Path, nats_url: str, dsn: str) -> Iterator[list[Suite]]:
    key_file = folder / "customer-keys"
    key_file.write_text(secrets.token_hex(32))
    shared = {
        "TRUNKLINE_NATS_URL": nats_url,
        "TRUNKLINE_KEY_FILE": str(key_file),
        "TRUNKLINE_POSTGRES_DSN": dsn,
        "TRUNKLINE_RESUME_SECRET": "the same secret on every node of the suite",
        "TRUNKLINE_MESSAGES_PER_S": "1000",
        "TRUNKLINE_INGRESS_PROCESSES_MIN": "1",
    }
    suites: list[Suite] = []
    try:
        suites.append(Suite(folder / "first", shared))
        suites.append(Suite(folder / "second", shared))
        yield suites
    finally:
        for suite in suites:
            suite.stop()


def _new(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


async def run(folder: Path, *, duration_s: float, customers: int) -> dict[str, int]:
    """Run the scenario and return its figures; raise `AssertionError` if a guarantee is violated."""
    async with two_nodes(folder) as nodes, AsyncExitStack() as stack:
        groups = [
            [await stack.enter_async_context(Customer(suite.url, f"ada-{at}-{number}")) for number in range(customers)]
            for at, suite in enumerate(nodes.suites)
        ]
        for customer in [*groups[0], *groups[1]]:
            await customer.start()
        await _talk(nodes, [*groups[0], *groups[1]], duration_s)
        assert nodes.pids() == nodes.first_pids, "a process was replaced"
        views = [sorted(each["instance"] for each in nodes.processes(suite)) for suite in nodes.suites]
        assert views[0] == views[1], "the nodes show different processes"
        assert await asyncio.to_thread(nodes.suites[1].stop) == 0
        for customer in groups[1]:
            customer.move_to(nodes.suites[0].url)
            await customer.resume()
        await _talk(nodes, [*groups[0], *groups[1]], duration_s / 4)
        left = {instance: pid for instance, pid in nodes.pids().items() if pid in nodes.first_pids.values()}
        assert left == nodes.pids(), "a process of the node that stayed was replaced"
        await nodes.check_archive()
        return {"conversations": len(nodes.asked), "turns": nodes.asked.total(), "processes": len(views[0])}


async def _talk(nodes: Nodes, customers: list[Customer], duration_s: float) -> None:
    until = time.monotonic() + duration_s
    async with asyncio.TaskGroup() as tasks:
        for customer in customers:
            tasks.create_task(nodes.talk(customer, until=until))


def main() -> None:
    """Run the scenario from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duration", type=float, default=600.0, help="seconds with both nodes")
    parser.add_argument("--customers", type=int, default=20, help="customers of each node")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trunkline-two-nodes-") as folder:
        print(asyncio.run(run(Path(folder), duration_s=options.duration, customers=options.customers)))


if __name__ == "__main__":
    main()
