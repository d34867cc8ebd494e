"""A month of customers, day by day: conversations, holds, a failed and a killed run, and the live sizes of each day."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TextIO

from trunkline_audit.core.retention.manifest import unpack
from trunkline_chassis.errors import ObjectStoreUnavailableError
from trunkline_chassis.object_store import ObstoreObjectStore
from trunkline_cli.audit import archive as auditor
from trunkline_protocols.holds import HoldPlaced, HoldReleased

from tests.audit.retention.harness import MARKER_DAYS, ClientRecord, SmallSuite, hold_on, keep_for
from tests.audit.retention.killed_run import KilledRuns, run_when_free

DAYS: Final = 30
KEEP_DAYS: Final = 3
POLICY: Final = keep_for(KEEP_DAYS)
FIRST_STEADY_DAY: Final = KEEP_DAYS + MARKER_DAYS + 3
"""From here on as many markers are purged a day as are left, with those of the failed days."""
HELD_DAYS: Final = range(4, 7)
"""The days of the conversations of a customer whom a hold names."""
HOLD_DAY: Final = 6
RELEASE_DAY: Final = 20
"""Of the hold on one conversation; the one on a customer stays."""
FAILED_DAY: Final = 9
KILLED_DAY: Final = 13
"""The streams are purged of one conversation, the rows of none."""
LATE_CLOSE_EVERY: Final = 8
"""Every eighth conversation goes on for two days."""
LATE_CLOSE_DAYS: Final = 2
HELD_CUSTOMER: Final = "held"
_CONCURRENT: Final = 16


class FullStore(ObstoreObjectStore):
    """A store that takes objects, but no manifest."""

    async def put_once(self, name: str, payload: bytes) -> None:
        if name.endswith("manifest.json"):
            raise ObjectStoreUnavailableError(f"{self.location} is full")
        await super().put_once(name, payload)


class Expected(NamedTuple):
    """Numbers of messages in the streams and of rows with texts that rules, holds and markers keep on a day."""

    inbox: int
    log: int
    snapshots: int
    rows: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """The live data at the end of a day: numbers, and bytes of the streams and of the table's texts."""

    numbers: Expected
    inbox_bytes: int
    log_bytes: int
    row_bytes: int


@dataclass(slots=True)
class Month:
    """The simulation. A day ends with a run of retention."""

    suite: SmallSuite
    killed: KilledRuns
    witness: TextIO
    per_day: int
    days: dict[int, list[ClientRecord]] = field(default_factory=lambda: defaultdict(list))
    """Conversations by the day of their last message."""
    unfinished: dict[int, list[ClientRecord]] = field(default_factory=lambda: defaultdict(list))
    """Conversations by the day of their end, which is to come."""
    gone: dict[str, int] = field(default_factory=dict)
    """The day of archive and trim of each conversation."""
    sizes: list[Sizes] = field(default_factory=list)
    expected: list[Expected] = field(default_factory=list)
    proofs: list[str] = field(default_factory=list)
    held_one: ClientRecord | None = None

    async def run(self) -> None:
        """Let a month pass."""
        for day in range(DAYS):
            self.suite.clock.days = day
            await self._converse(day)
            await self._place_holds(day)
            await self.suite.settle()
            self.proofs.append(await prove(self.suite, self.days[day][0]))
            await auditor.print_heads(self.suite.archive.dsn, self.witness, after=0, follow=False)
            await self._retain(day)
            self.sizes.append(await measure(self.suite))
            self.expected.append(self._expect(day))

    @property
    def records(self) -> list[ClientRecord]:
        """Return all conversations."""
        return list(self.suite.traffic.records.values())

    def is_held(self, record: ClientRecord, day: int) -> bool:
        """Return whether a hold covers a conversation on a day."""
        if record.customer == HELD_CUSTOMER:
            return day >= HOLD_DAY
        return record is self.held_one and HOLD_DAY <= day < RELEASE_DAY

    def _expect(self, day: int) -> Expected:
        live = [each for each in self.records if each.conversation not in self.gone]
        messages = sum(len(each.questions) + each.is_closed for each in live)
        markers = sum(day - gone < MARKER_DAYS for gone in self.gone.values())
        return Expected(messages, messages + markers, len(live), 2 * messages)

    async def _converse(self, day: int) -> None:
        permits = asyncio.Semaphore(_CONCURRENT)

        async def converse(number: int) -> None:
            is_late = number % LATE_CLOSE_EVERY == LATE_CLOSE_EVERY - 1
            customer = HELD_CUSTOMER if number == 1 and day in HELD_DAYS else f"c{number}"
            async with permits:
                record = await self.suite.traffic.converse(1 + number % 3, customer=customer, close=not is_late)
            if is_late:
                self.unfinished[day + LATE_CLOSE_DAYS].append(record)
            else:
                self.days[day].append(record)

        async def end(record: ClientRecord) -> None:
            async with permits:
                await self.suite.traffic.turn(record)
                await self.suite.traffic.close(record)
            self.days[day].append(record)

        async with asyncio.TaskGroup() as tasks:
            for record in self.unfinished.pop(day, ()):
                tasks.create_task(end(record))
            for number in range(self.per_day):
                tasks.create_task(converse(number))

    async def _place_holds(self, day: int) -> None:
        if day == HOLD_DAY:
            others = (each for each in self.days[day - 1] if each.customer != HELD_CUSTOMER)
            self.held_one = next(others)
            await self.suite.hold(hold_on(self.held_one, "one"))
            placed = HoldPlaced(
                hold="all",
                reason="case",
                placed_at=1.0,
                operator="Ada",
                role="lead",
                tenant="default",
                customer=HELD_CUSTOMER,
            )
            await self.suite.hold(placed)
        if day == RELEASE_DAY:
            await self.suite.hold(
                HoldReleased(hold="one", reason="over", released_at=2.0, operator="Ada", role="admin")
            )

    async def _retain(self, day: int) -> None:
        """Run retention; on two days it fails, and the run of the next day makes up for it."""
        if day == FAILED_DAY:
            try:
                await self.suite.retention(POLICY, open_objects=FullStore).run()
            except ObjectStoreUnavailableError:
                return
            raise AssertionError("the run did not need its store")
        if day == KILLED_DAY:
            await self.killed.kill_at("after purge")
            await run_when_free(self.suite, POLICY)
        else:
            await self.suite.retention(POLICY).run()
        # The run after the failed one completes that with what was due then.
        due = day - KEEP_DAYS - (day == FAILED_DAY + 1)
        for last, records in self.days.items():
            for record in records:
                if last <= due and not self.is_held(record, day):
                    self.gone.setdefault(record.conversation, day)


async def measure(suite: SmallSuite) -> Sizes:
    """Return the live sizes."""
    inbox, log, snapshots = [
        (await suite.bus.api(f"STREAM.INFO.{name}"))["state"] for name in ("INBOX", "CONVERSATIONS", "KV_SNAPSHOTS")
    ]
    query = """
    SELECT count(raw), coalesce(sum(pg_column_size(raw) + coalesce(pg_column_size(payload), 0)), 0)
    FROM messages WHERE stream IN ('INBOX', 'CONVERSATIONS')
    """
    [(rows, row_bytes)] = await suite.archive.fetch(query)
    return Sizes(
        Expected(inbox["messages"], log["messages"], snapshots["messages"], rows),
        inbox_bytes=inbox["bytes"],
        log_bytes=log["bytes"],
        row_bytes=int(row_bytes),
    )


async def prove(suite: SmallSuite, record: ClientRecord) -> str:
    """Return the proofs of a conversation, as an auditor keeps them."""
    out = io.StringIO()
    await auditor.prove(suite.archive.dsn, record.conversation, 0, out)
    return out.getvalue()


def archived(suite: SmallSuite) -> dict[str, list[dict[str, Any]]]:
    """Return the messages of all archives by conversation, as JSON, in the order of their leaves."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in suite.files("*.zst"):
        for entry in unpack(file.read_bytes()):
            if entry["kind"] == "record":
                message = json.loads(base64.b64decode(entry["raw"]))
                found.setdefault(message["conversation"], []).append(message)
    return found


def is_complete(record: ClientRecord, messages: list[dict[str, Any]]) -> bool:
    """Return whether messages are everything that the client saw, once."""
    questions = [message["text"] for message in messages if message["type"] == "turn.received"]
    events = [event for message in messages if message["type"] == "commit" for event in message["events"]]
    answers = [event["answer"] for event in events if event["event"] == "turn_answered"]
    ends = sum(event["event"] == "closed" for event in events)
    return (questions, answers, ends) == (record.questions, record.answers, int(record.is_closed))
