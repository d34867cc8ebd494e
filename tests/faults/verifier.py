"""What became of every accepted message, as the clients, the log and PostgreSQL each say it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from dataclasses import dataclass, field

import asyncpg
from trunkline_chassis.bus import connect
from trunkline_protocols import codec
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import TurnAnswered

from tests.faults.customers import Record
from tests.faults.faults import Fault
from tests.support.suite import Suite

_AUDIT_PATIENCE_S = 60.0
_AFTERMATH_S = 3.0
_AFTERMATH_OF_NATS_S = 12.0
"""Elections, a restart and the way back to the nearest server."""
_SLOWEST = 5


@dataclass(slots=True)
class Report:
    """The verdict: every list must be empty."""

    turns: int = 0
    accepted: int = 0
    answered: int = 0
    cuts: int = 0
    begun_anew: int = 0
    """Answers of which a customer saw the beginning twice."""
    worst_s: float = 0.0
    """Longest from the first try to say something to its answer."""
    worst_by_victim_s: dict[str, float] = field(default_factory=dict)
    """The same of the turns that met this fault and no other."""
    met_several: int = 0
    """Turns that met more than one fault."""
    slowest: list[tuple[float, float, list[str]]] = field(default_factory=list)
    """Of the slowest turns: seconds to the answer, seconds of these to `accepted`, and the faults that each met."""
    faults: int = 0
    clients: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    postgres: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, doubled or out of order anywhere."""
        return not (self.clients or self.log or self.postgres)


async def gather(suite: Suite, records: list[Record], faults: list[Fault]) -> Report:
    """Compare the three."""
    report = Report(faults=len(faults))
    for record in records:
        _ask_client(record, report)
    _delays(records, faults, report)
    inbox, log = await _streams(suite)
    for record in records:
        accepted = [(said.id, said.answer) for said in record.said if said.accepted_at is not None]
        stored = inbox[record.conversation]
        if stored != [id_ for id_, _ in accepted]:
            report.log.append(f"{record.conversation}: accepted {[id_ for id_, _ in accepted]}, stored {stored}")
        if log[record.conversation] != accepted:
            report.log.append(f"{record.conversation}: seen {accepted}, committed {log[record.conversation]}")
    await _ask_postgres(suite, records, report)
    return report


def _ask_client(record: Record, report: Report) -> None:
    accepted = [said.id for said in record.said if said.accepted_at is not None]
    report.turns += len(record.said)
    report.accepted += len(accepted)
    report.answered += len(record.answered)
    report.cuts += record.cuts
    report.begun_anew += record.begun_anew
    unheard = [said.id for said in record.said if said.accepted_at is None]
    if unheard:
        report.clients.append(f"{record.conversation}: never accepted {unheard}")
    report.clients.extend(f"{record.conversation}: {breach}" for breach in record.breaches)
    if record.answered != accepted:
        report.clients.append(f"{record.conversation}: accepted {accepted}, answered {record.answered}")


def _delays(records: list[Record], faults: list[Fault], report: Report) -> None:
    turns = [
        (said.sent_at, said.accepted_at or said.sent_at, said.answered_at)
        for record in records
        for said in record.said
        if said.answered_at
    ]
    report.worst_s = round(max((end - start for start, _, end in turns), default=0.0), 2)
    worst: defaultdict[str, float] = defaultdict(float)
    for start, accepted, end in sorted(turns, key=lambda turn: turn[0] - turn[2]):
        met = [fault for fault in faults if start < fault.at + _aftermath_s(fault) and end > fault.at]
        report.met_several += len(met) > 1
        if len(report.slowest) < _SLOWEST:
            struck = [f"{fault.deed} {fault.instance}" for fault in met]
            report.slowest.append((round(end - start, 2), round(accepted - start, 2), struck))
        if len(met) == 1:
            key = f"{met[0].deed} {met[0].service}"
            worst[key] = max(worst[key], round(end - start, 2))
    report.worst_by_victim_s = dict(sorted(worst.items()))


def _aftermath_s(fault: Fault) -> float:
    return _AFTERMATH_OF_NATS_S if fault.service == "nats" else _AFTERMATH_S


async def _streams(suite: Suite) -> tuple[dict[str, list[str]], dict[str, list[tuple[str, str]]]]:
    """What the inbox holds and what the log answers, by conversation and in order."""
    inbox: defaultdict[str, list[str]] = defaultdict(list)
    log: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    bus = await connect(suite.nats_url(), "evidence")
    try:
        for stored in await bus.read_messages("INBOX", "inbox.>"):
            with contextlib.suppress(codec.DecodeError):  # nonsense of another test
                message = codec.inbox.decode(stored.payload)
                if isinstance(message, TurnReceived):
                    inbox[message.conversation].append(message.message_id)
        for stored in await bus.read_messages("CONVERSATIONS", "conv.>"):
            commit = codec.commit.decode(stored.payload)
            for event in commit.events:
                if isinstance(event, TurnAnswered):
                    log[commit.conversation].append((event.message_id, event.answer))
    finally:
        await bus.close()
    return inbox, log


async def _ask_postgres(suite: Suite, records: list[Record], report: Report) -> None:
    expected = sum(said.accepted_at is not None for record in records for said in record.said)
    rows: list[asyncpg.Record] = []
    try:
        async with asyncio.timeout(_AUDIT_PATIENCE_S):
            while len(rows) < 2 * expected:
                await asyncio.sleep(0.5)
                rows = await _rows(suite.postgres_dsn(), [record.conversation for record in records])
    except TimeoutError:
        report.postgres.append(f"{len(rows)} rows after {_AUDIT_PATIENCE_S:g} s, {2 * expected} expected")
    said: defaultdict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        said[row["conversation"], row["role"]] += 1
    for record in records:
        accepted = sum(said.accepted_at is not None for said in record.said)
        for role in ("customer", "agent"):
            if said[record.conversation, role] != accepted:
                report.postgres.append(f"{record.conversation}: {said[record.conversation, role]} of {accepted} {role}")
        answers = [row["text"] for row in rows if (row["conversation"], row["role"]) == (record.conversation, "agent")]
        if answers != [said_.answer for said_ in record.said if said_.accepted_at is not None]:
            report.postgres.append(f"{record.conversation}: other answers, or another order")


async def _rows(dsn: str, conversations: list[str]) -> list[asyncpg.Record]:
    try:
        connection = await asyncpg.connect(dsn, timeout=5)
        try:
            return list(
                await connection.fetch(
                    "SELECT conversation, role, text FROM conversation_messages WHERE conversation = ANY($1)",
                    conversations,
                )
            )
        finally:
            await connection.close(timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return []
