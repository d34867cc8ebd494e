"""Verification of a run: the clients, the log and PostgreSQL must agree on every accepted message."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import asyncpg
from trunkline_chassis.bus import connect
from trunkline_chassis.nats_security import NatsSecurity
from trunkline_protocols import codec
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import TurnAnswered

from tests.faults.customers import CustomerRecord
from tests.faults.faults import InjectedFault
from tests.support.texts import readable_texts

_AUDIT_TIMEOUT_S: Final = 60.0
_RECOVERY_S: Final = 3.0
_NATS_RECOVERY_S: Final = 12.0
"""Elections, a restart, and the reconnection to the nearest server."""
_SLOWEST_SHOWN: Final = 5


@dataclass(slots=True)
class Report:
    """Figures and violations of a run; `clients`, `log` and `postgres` are empty if every guarantee was kept."""

    turns: int = 0
    accepted: int = 0
    answered: int = 0
    refusals: int = 0
    """Attempts that were refused for now."""
    cuts: int = 0
    restarted_answers: int = 0
    """Answers of which a customer saw the beginning twice."""
    max_delay_s: float = 0.0
    """Maximum time from the first attempt to send a message to its answer."""
    max_delay_by_fault_s: dict[str, float] = field(default_factory=dict)
    """The same per fault, over turns that overlap this fault and no other."""
    turns_with_several_faults: int = 0
    slowest: list[tuple[float, float, list[str]]] = field(default_factory=list)
    """Of the slowest turns: seconds to the answer, seconds of these to `accepted`, overlapping faults."""
    injected_faults: int = 0
    clients: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    postgres: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Return whether nothing was lost, duplicated or reordered."""
        return not (self.clients or self.log or self.postgres)


class Servers(Protocol):
    """The servers that keep messages; a running suite is one."""

    def nats_url(self) -> str:
        """Return the addresses of the NATS servers."""
        ...

    def postgres_dsn(self) -> str:
        """Return the address of PostgreSQL."""
        ...

    def key_file(self) -> Path | None:
        """Return the wrapping key of the customers' texts, None if they are in clear."""
        ...


async def verify(
    suite: Servers,
    records: list[CustomerRecord],
    faults: list[InjectedFault],
    *,
    security: NatsSecurity | None = None,
) -> Report:
    """Compare the clients' records with the streams and with PostgreSQL; `security` is that of an operator."""
    report = Report(injected_faults=len(faults))
    for record in records:
        _check_client(record, report)
    _measure_delays(records, faults, report)
    inbox, log, stored_answers = await _read_streams(suite, security or NatsSecurity())
    for record in records:
        accepted = [(message.id, message.answer) for message in record.messages if message.accepted_at is not None]
        stored = inbox[record.conversation]
        if stored != [id_ for id_, _ in accepted]:
            report.log.append(f"{record.conversation}: accepted {[id_ for id_, _ in accepted]}, stored {stored}")
        if log[record.conversation] != accepted:
            report.log.append(f"{record.conversation}: received {accepted}, committed {log[record.conversation]}")
    await _check_postgres(suite, records, stored_answers, report)
    return report


def _check_client(record: CustomerRecord, report: Report) -> None:
    accepted = [message.id for message in record.messages if message.accepted_at is not None]
    report.turns += len(record.messages)
    report.accepted += len(accepted)
    report.answered += len(record.answered)
    report.refusals += sum(message.refusals for message in record.messages)
    report.cuts += record.cuts
    report.restarted_answers += record.restarted_answers
    unaccepted = [message.id for message in record.messages if message.accepted_at is None]
    if unaccepted:
        report.clients.append(f"{record.conversation}: never accepted {unaccepted}")
    report.clients.extend(f"{record.conversation}: {violation}" for violation in record.violations)
    if record.answered != accepted:
        report.clients.append(f"{record.conversation}: accepted {accepted}, answered {record.answered}")


def _measure_delays(records: list[CustomerRecord], faults: list[InjectedFault], report: Report) -> None:
    turns = [
        (message.due_at, message.accepted_at or message.due_at, message.answered_at)
        for record in records
        for message in record.messages
        if message.answered_at
    ]
    report.max_delay_s = round(max((end - start for start, _, end in turns), default=0.0), 2)
    max_delay: defaultdict[str, float] = defaultdict(float)
    for start, accepted, end in sorted(turns, key=lambda turn: turn[0] - turn[2]):
        overlapping = [fault for fault in faults if start < fault.at + _recovery_s(fault) and end > fault.at]
        report.turns_with_several_faults += len(overlapping) > 1
        if len(report.slowest) < _SLOWEST_SHOWN:
            names = [f"{fault.kind} {fault.instance}" for fault in overlapping]
            report.slowest.append((round(end - start, 2), round(accepted - start, 2), names))
        if len(overlapping) == 1:
            key = f"{overlapping[0].kind} {overlapping[0].service}"
            max_delay[key] = max(max_delay[key], round(end - start, 2))
    report.max_delay_by_fault_s = dict(sorted(max_delay.items()))


def _recovery_s(fault: InjectedFault) -> float:
    return _NATS_RECOVERY_S if fault.service == "nats" else _RECOVERY_S


async def _read_streams(
    suite: Servers, security: NatsSecurity
) -> tuple[dict[str, list[str]], dict[str, list[tuple[str, str]]], dict[str, list[str]]]:
    """Return message ids of the inbox, answers of the log in clear, and as they are stored, in order."""
    inbox: defaultdict[str, list[str]] = defaultdict(list)
    log: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    stored_answers: defaultdict[str, list[str]] = defaultdict(list)
    bus = await connect(suite.nats_url(), "verifier", principal="operator", security=security)
    try:
        for stored in await bus.read_messages("INBOX", "inbox.>"):
            with contextlib.suppress(codec.DecodeError):  # another test publishes undecodable messages
                message = codec.inbox.decode(stored.payload)
                if isinstance(message, TurnReceived):
                    inbox[message.conversation].append(message.message_id)
        texts = await readable_texts(bus, suite.key_file())
        for stored in await bus.read_messages("CONVERSATIONS", "conv.>"):
            commit = codec.commit.decode(stored.payload)
            readable = await texts.decrypt_or_erase(commit)
            for event, in_clear in zip(commit.events, readable.events, strict=True):
                if isinstance(event, TurnAnswered) and isinstance(in_clear, TurnAnswered):
                    log[commit.conversation].append((event.message_id, in_clear.answer))
                    stored_answers[commit.conversation].append(event.answer)
    finally:
        await bus.close()
    return inbox, log, stored_answers


async def _check_postgres(
    suite: Servers, records: list[CustomerRecord], stored_answers: dict[str, list[str]], report: Report
) -> None:
    """Compare with the answers as the log holds them, which are those of the customers."""
    expected = 2 * sum(message.accepted_at is not None for record in records for message in record.messages)
    rows: list[asyncpg.Record] = []
    try:
        async with asyncio.timeout(_AUDIT_TIMEOUT_S):
            while len(rows) < expected:
                await asyncio.sleep(0.5)
                rows = await _fetch_rows(suite.postgres_dsn(), [record.conversation for record in records])
    except TimeoutError:
        report.postgres.append(f"{len(rows)} rows after {_AUDIT_TIMEOUT_S:g} s, {expected} expected")
    texts: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        texts[row["conversation"], row["role"]].append(row["text"])
    for record in records:
        answers = [message.answer for message in record.messages if message.accepted_at is not None]
        for role in ("customer", "agent"):
            count = len(texts[record.conversation, role])
            if count != len(answers):
                report.postgres.append(f"{record.conversation}: {count} of {len(answers)} {role}")
        if texts[record.conversation, "agent"] != stored_answers.get(record.conversation, []):
            report.postgres.append(f"{record.conversation}: other answers, or another order")


async def _fetch_rows(dsn: str, conversations: list[str]) -> list[asyncpg.Record]:
    """Return the rows of some conversations; none if PostgreSQL is unavailable."""
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
    except asyncpg.TargetServerAttributeNotMatched:  # no member is the primary: a failover is under way
        return []
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return []
