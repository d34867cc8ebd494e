"""Consumers of the work queues that this process serves: one per specialty, colour and lane."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from prometheus_client import Gauge
from trunkline_chassis.bus import Bus
from trunkline_chassis.delivery import Delivery, Outcome
from trunkline_chassis.pull_consumer import PullConsumer
from trunkline_protocols import streams, subjects
from trunkline_protocols.subjects import Lane, QueueColour

_log: Final = structlog.get_logger(__name__)
_DEPTH: Final = Gauge("trunkline_work_queue_depth", "Messages in the work queue", ["specialty", "lane"])


@dataclass(slots=True)
class _ServedQueue:
    """The consumers of one specialty and colour, and the subscription to cancelled consultations."""

    consumers: dict[Lane, PullConsumer]
    cancellations: Subscription
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class WorkQueues:
    """Follows the served specialties: their consumers are started and stopped as the fleet changes."""

    def __init__(
        self,
        bus: Bus,
        *,
        capacity: int,
        handle: Callable[[Delivery], Awaitable[Outcome]],
        on_cancelled: Callable[[Msg], None],
        stop_timeout_s: float,
    ) -> None:
        """`capacity` bounds the deliveries in flight per lane; `on_cancelled` receives cancelled consultations."""
        self._bus = bus
        self._capacity = capacity
        self._handle = handle
        self._on_cancelled = on_cancelled
        self._stop_timeout_s = stop_timeout_s
        self._specialties: list[str] = []
        self._colours: list[QueueColour] = [""]
        self._changed = asyncio.Event()
        self._served: dict[tuple[str, QueueColour], _ServedQueue] = {}

    @property
    def specialties(self) -> Sequence[str]:
        """The specialties that are to be served."""
        return self._specialties

    @property
    def pending(self) -> int:
        """Number of queued messages, according to the last delivery of each consumer."""
        return sum(consumer.pending for served in self._served.values() for consumer in served.consumers.values())

    def serve(self, specialties: Sequence[str], colours: Sequence[QueueColour]) -> None:
        """Serve these specialties in these colours and no others from now on."""
        self._specialties, self._colours = list(specialties), list(colours)
        self._changed.set()

    async def run(self) -> None:
        """Start and stop consumers until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._changed.wait()
                self._changed.clear()
                wanted = list(itertools.product(self._specialties, self._colours))
                for queue in [each for each in wanted if each not in self._served]:
                    await self._start(*queue, tasks)
                for queue in [each for each in self._served if each not in wanted]:
                    await self._stop(*queue)

    async def drain(self, timeout_s: float) -> None:
        """Request no more work and wait up to `timeout_s` for that in flight."""
        consumers = [consumer for served in self._served.values() for consumer in served.consumers.values()]
        await asyncio.gather(*(consumer.drain(timeout_s) for consumer in consumers))

    async def _start(self, specialty: str, colour: QueueColour, tasks: asyncio.TaskGroup) -> None:
        async def on_cancelled(message: Msg) -> None:
            self._on_cancelled(message)

        subscription = await self._bus.subscribe(subjects.consult_cancelled(specialty), on_cancelled)
        served = self._served[specialty, colour] = _ServedQueue({}, subscription)
        for lane in subjects.LANES:
            durable = streams.work_consumer(specialty, lane, colour)
            consumer = PullConsumer(
                self._bus,
                stream=durable.stream,
                consumer=durable.name,
                capacity=self._capacity,
                handle=self._handle,
                ack_first=True,
            )
            _DEPTH.labels(specialty, lane).set_function(partial(self._pending, specialty, lane))
            served.consumers[lane] = consumer
            served.tasks.append(tasks.create_task(consumer.run()))
        _log.info("work.served", specialty=specialty, colour=colour)

    async def _stop(self, specialty: str, colour: QueueColour) -> None:
        served = self._served.pop((specialty, colour))
        await asyncio.gather(*(consumer.drain(self._stop_timeout_s) for consumer in served.consumers.values()))
        for task in served.tasks:
            task.cancel()
        await served.cancellations.unsubscribe()
        if all(name != specialty for name, _ in self._served):
            for lane in subjects.LANES:
                _DEPTH.remove(specialty, lane)
        _log.info("work.left", specialty=specialty, colour=colour)

    def _pending(self, specialty: str, lane: Lane) -> int:
        """Return the messages of a lane in all served colours."""
        return sum(served.consumers[lane].pending for (name, _), served in self._served.items() if name == specialty)
