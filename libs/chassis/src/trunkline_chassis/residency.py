"""The borders of a process' region: every passage of data is checked, and a refused one is counted and recorded."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from contextlib import asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

import structlog
from prometheus_client import Counter
from trunkline_protocols import codec, subjects
from trunkline_protocols.customer_keys import hash_of
from trunkline_protocols.ids import InvalidIdError, token
from trunkline_protocols.residency import ResidencyViolated
from trunkline_protocols.rules.residency import BORDERS, SAME_REGION, Border, Policy, may_cross, recorded_region

from trunkline_chassis.backoff import backoff_s
from trunkline_chassis.cancellation import cancel_and_wait, wait_for_event
from trunkline_chassis.errors import BusError, BusRefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trunkline_protocols.ids import Instance

    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)
VIOLATIONS: Final = Counter(
    "trunkline_residency_violations_total", "Refused passages of data between regions, by border", ["border"]
)
_LOST: Final = Counter(
    "trunkline_residency_records_lost_total", "Refused passages that could not be recorded", ["reason"]
)
for _border in BORDERS:
    VIOLATIONS.labels(_border)  # an alert on an increase needs the zero before it
_MAX_QUEUED: Final = 10_000
_BATCH: Final = 64
_APPEND_TIMEOUT_S: Final = 5.0
_MIN_RETRY_DELAY_S: Final = 0.25
_MAX_RETRY_DELAY_S: Final = 5.0
_INTERVAL_S: Final = 60.0
_DRAIN_TIMEOUT_S: Final = 2.0


class BorderGuard(Protocol):
    """Decides on passages; the port of everything that lets data in or out."""

    @property
    def region(self) -> str:
        """Region of this process."""
        ...

    def admits(
        self,
        border: Border,
        *,
        data: str,
        place: str | None = None,
        policy: Policy = SAME_REGION,
        conversation: str = "",
        customer: tuple[str, str] | None = None,
        asset: str = "",
        record_id: str = "",
    ) -> bool:
        """Return whether data of region `data` may reach `place`, by default the region of this process.

        A refused passage is counted and recorded, with the conversation, the hash of `customer` (tenant and id) and the
        name of an `asset`. `record_id` identifies a passage that may be tried again by a redelivery.
        """
        ...


class Borders:
    """The guard of one process, which appends its records to stream VIOLATIONS in the background."""

    def __init__(self, bus: Bus, *, region: str, service: str, instance: Instance) -> None:
        """Append over `bus`, from `run` on."""
        self._bus = bus
        self.region = region
        self._service = service
        self._instance = instance
        self._queue: deque[tuple[str, ResidencyViolated]] = deque()
        self._queued = asyncio.Event()
        self._recorded = asyncio.Event()
        self._recorded.set()

    def admits(
        self,
        border: Border,
        *,
        data: str,
        place: str | None = None,
        policy: Policy = SAME_REGION,
        conversation: str = "",
        customer: tuple[str, str] | None = None,
        asset: str = "",
        record_id: str = "",
    ) -> bool:
        """Return whether data may pass, see `BorderGuard`; never waits."""
        target = self.region if place is None else place
        if may_cross(border, data=data, place=target, policy=policy):
            return True
        violation = refuse(
            border,
            data=data,
            place=target,
            process=(self._service, self._instance),
            conversation=conversation,
            customer=customer,
            asset=asset,
        )
        self._queue_record(violation, record_id or secrets.token_hex(12))
        return False

    async def run(self) -> None:
        """Record refused passages until cancelled; while NATS is unavailable they wait in memory."""
        failures = 0
        while True:
            await wait_for_event(self._queued, timeout_s=_INTERVAL_S)
            self._queued.clear()
            while self._queue:
                try:
                    await self._record_some()
                    failures = 0
                except BusError as error:
                    failures += 1
                    if failures == 1:
                        _log.warning("residency.record_failed", error=str(error), queued=len(self._queue))
                    delay_s = backoff_s(failures, 0.5, min_s=_MIN_RETRY_DELAY_S, max_s=_MAX_RETRY_DELAY_S)
                    await asyncio.sleep(delay_s)
            self._recorded.set()

    async def drain(self, timeout_s: float) -> None:
        """Wait until everything is recorded, while `run` runs; what is not recorded in time is lost and counted."""
        await wait_for_event(self._recorded, timeout_s=timeout_s)
        if self._queue:
            _LOST.labels("stopped").inc(len(self._queue))
            _log.error("residency.records_lost", reason="stopped", count=len(self._queue))

    def _queue_record(self, violation: ResidencyViolated, record_id: str) -> None:
        if len(self._queue) >= _MAX_QUEUED:
            _LOST.labels("queue_full").inc()
            return
        self._recorded.clear()
        self._queue.append((record_id, violation))
        self._queued.set()

    async def _record_some(self) -> None:
        """Append the oldest records; those that are stored leave the queue, the others are tried again."""
        batch = list(islice(self._queue, _BATCH))
        outcomes = await asyncio.gather(*(self._append(*each) for each in batch), return_exceptions=True)
        failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for _ in batch:
            self._queue.popleft()
        self._queue.extendleft(
            each for each, outcome in reversed(list(zip(batch, outcomes, strict=True))) if outcome is not None
        )
        if failed:
            raise failed[0]

    async def _append(self, record_id: str, violation: ResidencyViolated) -> None:
        try:
            await append_violation(self._bus, self.region, violation, record_id)
        except BusRefusedError as error:
            _LOST.labels("refused").inc()
            _log.error("residency.records_lost", reason="refused", count=1, error=str(error))


@asynccontextmanager
async def draining(borders: Borders) -> AsyncIterator[None]:
    """Wait at the end of the block for the records of refused passages, also of those that end it."""
    try:
        yield
    finally:
        await borders.drain(_DRAIN_TIMEOUT_S)


@asynccontextmanager
async def recording(borders: Borders) -> AsyncIterator[None]:
    """Record the refusals of a command until the block ends."""
    running = asyncio.ensure_future(borders.run())
    try:
        async with draining(borders):
            yield
    finally:
        await cancel_and_wait([running])


def refuse(
    border: Border,
    *,
    data: str,
    place: str,
    process: tuple[str, Instance],
    conversation: str = "",
    customer: tuple[str, str] | None = None,
    asset: str = "",
) -> ResidencyViolated:
    """Count and log a refused passage, and return its record; `process` is service and instance."""
    service, instance = process
    violation = ResidencyViolated(
        border=border,
        from_region=recorded_region(data),
        to_region=recorded_region(place),
        service=service,
        instance=instance,
        at=time.time(),
        conversation=_id_or_nothing(conversation),
        customer=hash_of(*customer) if customer is not None else "",
        asset=_id_or_nothing(asset),
    )
    VIOLATIONS.labels(border).inc()
    _log.warning(
        "residency.refused",
        border=border,
        from_region=violation.from_region,
        to_region=violation.to_region,
        conversation=violation.conversation,
        asset=violation.asset,
    )
    return violation


async def append_violation(bus: Bus, region: str, violation: ResidencyViolated, record_id: str) -> None:
    """Record a refused passage at once; raises `BusError` if that fails."""
    await bus.append(
        subjects.violation(region, violation.border),
        codec.encode(violation),
        message_id=f"violation-{record_id}",
        timeout_s=_APPEND_TIMEOUT_S,
    )


def _id_or_nothing(value: str) -> str:
    """Return an id, nothing for any other text: a record holds no text of a client."""
    try:
        return token(value, "id") if value else ""
    except InvalidIdError:
        return ""
