"""Known data about the customers of this process' conversations: loaded beside triage, refreshed in the background.

A turn never waits for a reader, except the first one of a conversation, for at most the reader's timeout.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from trunkline_chassis.cache_metrics import count_lookup
from trunkline_chassis.cancellation import wait_for_event
from trunkline_protocols.context import Utterance
from trunkline_protocols.customers import CustomerKnown, ReadCustomer, subject_of
from trunkline_protocols.fleet import Fleet, Reader
from trunkline_protocols.inbox import EndRequested, TurnReceived
from trunkline_protocols.rules.facts import active_readers, due_readers

from trunkline_conversation.core.earlier import last_messages
from trunkline_conversation.ports import CustomerDirectory

_log: Final = structlog.get_logger(__name__)
_CACHE: Final = "customer"
_MAX_CUSTOMERS: Final = 10_000
_LOAD_TIMEOUT_S: Final = 0.25
"""Longest wait of a later turn for the bucket, once in the life of a process and a customer."""
_REPLY_MARGIN_S: Final = 0.5
_RETRY_S: Final = 1.0
_NOTHING: Final = CustomerKnown()


@dataclass(slots=True)
class _Entry:
    known: CustomerKnown | None = None
    """None until the bucket was read."""
    loaded: asyncio.Event = field(default_factory=asyncio.Event)
    refreshed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while no reading is in progress."""
    started_at: float = 0.0
    retry_at: float = 0.0
    reading_s: float = _LOAD_TIMEOUT_S
    """Longest timeout of the readers, in seconds."""


class CustomerContexts:
    """Bounded cache of customers, each loaded and refreshed by one task at a time."""

    def __init__(
        self,
        directory: CustomerDirectory,
        *,
        fleet: Callable[[int], Fleet],
        addresses: Mapping[str, str],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        now: Callable[[], float],
    ) -> None:
        """`fleet` returns that of a version, 0 is the served one; `addresses` are the operator's of readers.

        `spawn` runs a task; `now` returns Unix seconds.
        """
        self._directory = directory
        self._fleet = fleet
        self._addresses = addresses
        self._spawn = spawn
        self._now = now
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def prepare(self, message: TurnReceived, fleet_version: int = 0) -> None:
        """Begin to load missing and outdated data for a fleet version."""
        fleet = self._fleet(fleet_version)
        readers = active_readers(fleet, self._addresses)
        if not (readers or fleet.customers.claims or fleet.customers.earlier):
            return
        key = subject_of(message.tenant, message.customer)
        entry = self._entries.setdefault(key, _Entry())
        self._entries.move_to_end(key)
        while len(self._entries) > _MAX_CUSTOMERS:
            self._entries.popitem(last=False)
        now = self._now()
        is_fresh = entry.known is not None and not due_readers(readers, entry.known, now)
        count_lookup(_CACHE, hits=int(is_fresh), misses=int(not is_fresh))
        if is_fresh or entry.started_at or now < entry.retry_at:
            return
        entry.started_at = now
        entry.reading_s = max((reader.timeout_s for reader in readers), default=_LOAD_TIMEOUT_S)
        entry.refreshed.clear()
        request = ReadCustomer(
            tenant=message.tenant,
            region=message.region,
            customer=message.customer,
            tier=message.tier,
            fleet_version=fleet_version,
        )
        self._spawn(self._load(key, entry, request, readers))

    def known(self, message: TurnReceived) -> CustomerKnown:
        """Return the known data now."""
        entry = self._entries.get(subject_of(message.tenant, message.customer))
        return entry.known or _NOTHING if entry is not None else _NOTHING

    def is_complete(self, message: TurnReceived) -> bool:
        """Return whether nothing about the customer is being read: waiting would change nothing."""
        entry = self._entries.get(subject_of(message.tenant, message.customer))
        return entry is None or not entry.started_at

    async def current(self, message: TurnReceived, *, is_first: bool) -> CustomerKnown:
        """Return the known data, after the wait that the turn may take."""
        entry = self._entries.get(subject_of(message.tenant, message.customer))
        if entry is None:
            return _NOTHING
        if entry.started_at and is_first:
            left_s = entry.started_at + entry.reading_s - self._now()
            await wait_for_event(entry.refreshed, timeout_s=min(max(0.0, left_s), entry.reading_s))
        elif entry.started_at and entry.known is None:
            await wait_for_event(entry.loaded, timeout_s=_LOAD_TIMEOUT_S)
        return entry.known or _NOTHING

    def keep_earlier(
        self, message: EndRequested, transcript: Sequence[Utterance], *, text_key: str, fleet_version: int = 0
    ) -> None:
        """Keep the last messages of a conversation that ends, unless its key `text_key` is destroyed."""
        number = self._fleet(fleet_version).customers.earlier
        if number and transcript:
            key = subject_of(message.tenant, message.customer)
            messages = last_messages(transcript, number)
            self._spawn(self._directory.keep_earlier(key, message.conversation, messages, text_key=text_key))

    def holds(self, key: str) -> bool:
        """Return whether a customer is in memory."""
        return key in self._entries

    def on_change(self, key: str, known: CustomerKnown | None) -> None:
        """Take over a change by any process; None: the customer is forgotten."""
        entry = self._entries.get(key)
        if entry is None:
            return
        if known is None:
            self._entries.pop(key)
            entry.known = _NOTHING
        else:
            entry.known = known

    def clear(self) -> None:
        """Load every customer again: a change may have been missed."""
        self._entries.clear()

    async def _load(self, key: str, entry: _Entry, request: ReadCustomer, readers: list[Reader]) -> None:
        try:
            if entry.known is None:
                entry.known = await self._directory.load(key)
                entry.loaded.set()
            if due_readers(readers, entry.known, self._now()):
                known = await self._directory.read(request, timeout_s=entry.reading_s + _REPLY_MARGIN_S)
                entry.retry_at = self._now() + _RETRY_S if known is None else 0.0
                if known is not None and self._entries.get(key) is entry:
                    entry.known = known
        except Exception:  # a defect must not end the process: turns go on with the known data
            _log.exception("customer.load_failed")
            entry.retry_at = self._now() + _RETRY_S
        finally:
            entry.started_at = 0.0
            entry.loaded.set()
            entry.refreshed.set()
