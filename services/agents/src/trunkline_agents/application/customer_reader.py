"""Customer reader: reads the facts about a customer that are due, once for all processes and conversations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from msgspec.structs import replace
from prometheus_client import Counter
from trunkline_chassis.customer_bucket import StoredCustomer
from trunkline_chassis.errors import FenceError
from trunkline_chassis.residency import BorderGuard
from trunkline_protocols.context import Context, Fact
from trunkline_protocols.customers import CustomerKnown, ReadCustomer, subject_of
from trunkline_protocols.fleet import Fleet, Reader
from trunkline_protocols.ids import Instance
from trunkline_protocols.refusal import Refused
from trunkline_protocols.rules.facts import active_readers, due_readers
from trunkline_protocols.rules.readers import reader_defects
from trunkline_protocols.rules.residency import place_of

from trunkline_agents.core.bindings import bound_values
from trunkline_agents.core.facts import ReaderAnswer, UnreadableAnswerError, after_readings, parse_facts
from trunkline_agents.core.tools import ArgumentsError
from trunkline_agents.ports import CustomerStore, FactClient, NothingFoundError, ToolError, ToolOutcomeUnknownError

_log: Final = structlog.get_logger(__name__)
_READINGS: Final = Counter(
    "trunkline_customer_readings_total", "Readings of facts by reader and outcome", ["reader", "outcome"]
)
_POLL_INTERVAL_S: Final = 0.05
_REPLY_MARGIN_S: Final = 0.1
"""Part of a reader's timeout that is left for storing and replying, at most a half."""
_LEASE_MARGIN_S: Final = 0.5


class CustomerReader:
    """Asks the readers of the fleet; at most one process asks for a customer at a time."""

    def __init__(
        self,
        store: CustomerStore,
        clients: Mapping[str, FactClient],
        *,
        fleet: Callable[[int], Fleet],
        addresses: Mapping[str, str],
        instance: Instance,
        borders: BorderGuard,
        now: Callable[[], float],
    ) -> None:
        """`clients` are keyed by the kind of reader, `fleet` returns that of a version, `addresses` the operator's."""
        self._store = store
        self._clients = clients
        self._fleet = fleet
        self._addresses = addresses
        self._instance = instance
        self._borders = borders
        self._now = now
        self._locks: dict[str, asyncio.Lock] = {}

    async def read(self, request: ReadCustomer) -> CustomerKnown | Refused:
        """Read what is due and return the known data; concurrent requests for a customer share one reading."""
        if not self._admits(request, "customer", self._borders.region):
            return Refused(code="other_region", message="this suite serves another region", retryable=False)
        key = subject_of(request.tenant, request.customer)
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                return await self._read(key, request)
        finally:
            if not lock.locked():
                self._locks.pop(key, None)

    def _admits(self, request: ReadCustomer, asset: str, place: str) -> bool:
        return self._borders.admits(
            "customer", data=request.region, place=place, customer=(request.tenant, request.customer), asset=asset
        )

    async def _read(self, key: str, request: ReadCustomer) -> CustomerKnown:
        readers = active_readers(self._fleet(request.fleet_version), self._addresses)
        lease_s = max((reader.timeout_s for reader in readers), default=0.0) + _LEASE_MARGIN_S
        give_up_at = self._now() + 2 * lease_s
        while True:
            stored = await self._store.load(key)
            due = due_readers(readers, stored.known, self._now())
            if not due or self._now() > give_up_at:
                return stored.known
            if 0 < stored.known.reading_until - self._now() <= lease_s:
                # Another process reads; if it dies, its lease ends. A longer one is of a clock that is ahead.
                await asyncio.sleep(_POLL_INTERVAL_S)
                continue
            leased = replace(stored.known, reader=self._instance, reading_until=self._now() + lease_s)
            try:
                await self._store.replace(key, leased, stored.revision)
            except FenceError:
                continue
            async with asyncio.TaskGroup() as tasks:
                asked = [tasks.create_task(self._ask(reader, request)) for reader in due]
            return await self._keep(key, [task.result() for task in asked])

    async def _keep(self, key: str, answers: list[ReaderAnswer]) -> CustomerKnown:
        """Store the outcome of readings; a customer who is forgotten meanwhile stays so."""

        def change(stored: StoredCustomer) -> CustomerKnown | None:
            return None if stored.is_forgotten else after_readings(stored.known, answers, now=self._now())

        return await self._store.update(key, change)

    async def _ask(self, reader: Reader, request: ReadCustomer) -> ReaderAnswer:
        """Ask one reader within its timeout; every failure becomes an answer."""
        started = self._now()
        failure, facts = "", list[Fact]()
        try:
            async with asyncio.timeout(max(reader.timeout_s / 2, reader.timeout_s - _REPLY_MARGIN_S)):
                facts = parse_facts(reader, await self._fetch(reader, request), now=started)
        except TimeoutError:
            failure = "timeout"
        except ToolOutcomeUnknownError:
            failure = "no_answer"
        except NothingFoundError:
            facts = []
        except (ToolError, ArgumentsError):
            failure = "refused"
        except UnreadableAnswerError:
            failure = "unreadable"
        except Exception as error:  # a defect of one reader must not lose the facts of the others
            _log.error("customer.reading_failed", reader=reader.name, error=type(error).__name__)
            failure = "failed"
        _READINGS.labels(reader.name, failure or "read").inc()
        if failure:
            _log.warning("customer.not_read", reader=reader.name, reason=failure)
        else:
            missing = sorted(reader.fields.keys() - {fact.name for fact in facts})
            _log.info("customer.read", reader=reader.name, ms=round((self._now() - started) * 1000, 1), missing=missing)
        return ReaderAnswer(reader, facts, failure)

    async def _fetch(self, reader: Reader, request: ReadCustomer) -> str:
        if any(reader_defects(reader)):
            # A version of the fleet may be older than a rule.
            raise ToolError("the reader is invalid")
        if not self._admits(request, reader.name, place_of(request.region, reader.regions)):
            raise ToolError("the reader is for customers of other regions")
        tool = reader.as_tool(self._addresses.get(reader.name, ""))
        context = Context(
            tenant=request.tenant,
            region=request.region,
            locale="",
            transcript=[],
            customer=request.customer,
            tier=request.tier,
        )
        return await self._clients[reader.kind].fetch(tool, reader.tool, bound_values(tool, context))
