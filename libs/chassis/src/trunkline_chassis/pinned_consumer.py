"""The consumer of pinned partitions: delivery in order, to one process at a time, with failover within about a second.

The server pins a slot's consumer to the first client that pulls (priority group, policy `pinned_client`) and releases
the pin when the client has not pulled for `priority_timeout`. On every new pin the slot is acquired in three steps, so
that the messages that the previous owner left unacknowledged are delivered first and in order:

    suspend  leave the old inbox: messages sent before the reset are not handled
    reset    put the consumer back to its ack floor
    resume   pull into a new inbox with the pin

A pin moves only with a delivery, so every process checks the quiet slots and resets one that has unacknowledged
messages and no pinned client. If a process is known to stop or to be dead, its successors remove its pins at once.
A process acquires no more slots than its fair share. It does not wait for in-flight turns of the previous owner: the
conversations settle that between themselves.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import nats.errors
import structlog

from trunkline_chassis.delivery import Delivery
from trunkline_chassis.errors import BusError
from trunkline_chassis.logs import reason_of
from trunkline_chassis.pull_consumer import is_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription
    from trunkline_protocols.streams import ConsumerSpec

    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)

_PULL_INTERVAL_S: Final = 0.4
_REQUEST_EXPIRES_S: Final = 0.45
"""Short, so that a request lost during a leader election is repeated soon."""
_CHECK_INTERVAL_S: Final = 0.5
_API_TIMEOUT_S: Final = 1.0
"""A server that has just started, or that elects a leader, may not reply at all: retry soon."""
_INFO_TIMEOUT_S: Final = 0.5
_STATUS_WRONG_PIN: Final = "423"
_BATCH: Final = 200
_NS: Final = 1_000_000_000


class _Slot:
    """The state of one slot's consumer in this process."""

    def __init__(self, number: int, spec: ConsumerSpec) -> None:
        self.number = number
        self.spec = spec
        self.pin = ""
        self.inbox = ""
        self.subscription: Subscription | None = None
        self.declined_until = 0.0
        self.switching = False

    @property
    def consumer_path(self) -> str:
        return f"{self.spec.stream}.{self.spec.name}"


class PinnedConsumer:
    """Passes the deliveries of the slots that this process holds to `on_delivery`, in order."""

    def __init__(
        self,
        bus: Bus,
        consumers: list[ConsumerSpec],
        *,
        on_delivery: Callable[[int, Delivery], None],
        on_release: Callable[[int], None],
        fair_share: Callable[[], int],
    ) -> None:
        """`on_delivery` must not block; `on_release` is called for a lost slot; `fair_share` bounds the held slots."""
        self._bus = bus
        self._slots = [_Slot(number, spec) for number, spec in enumerate(consumers)]
        self._on_delivery = on_delivery
        self._on_release = on_release
        self._fair_share = fair_share
        self._draining = False
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def held(self) -> list[int]:
        """Slots pinned to this process; empty once it drains."""
        return [] if self._draining else [slot.number for slot in self._slots if slot.pin]

    @property
    def _claimed(self) -> int:
        """Number of slots held or being acquired."""
        return sum(bool(slot.pin) or slot.switching for slot in self._slots)

    async def run(self) -> None:
        """Pull until cancelled."""
        self._bus.on_reconnect.append(self._reacquire_all)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for slot in self._slots:
                await self._renew_inbox(slot)
            tasks.create_task(self._pull_until_cancelled())
            tasks.create_task(self._check_quiet_slots())

    def drain(self) -> None:
        """Release all slots; their successors acquire them at once, at the latest when the pins expire."""
        self._draining = True
        for slot in self._slots:
            self._release(slot)

    # -- pulling ---

    async def _pull_until_cancelled(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            if not self._draining:
                self._release_surplus()
                room = self._fair_share() - len(self.held)
                for slot in self._slots:
                    if slot.switching:
                        continue
                    if slot.pin or (room > 0 and now >= slot.declined_until):
                        await self._pull(slot)
            await asyncio.sleep(_PULL_INTERVAL_S)

    async def _pull(self, slot: _Slot) -> None:
        pin = b',"id":"%s"' % slot.pin.encode() if slot.pin else b""
        request = b'{"batch":%d,"expires":%d,"group":"%s"%s}' % (
            _BATCH,
            int(_REQUEST_EXPIRES_S * _NS),
            slot.spec.pinned.encode(),
            pin,
        )
        try:
            await self._bus.client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{slot.consumer_path}", request, reply=slot.inbox)
        except Exception as error:  # whatever the client raises, the next round retries
            _log.warning("slots.request_failed", slot=slot.number, error=reason_of(error))

    async def _renew_inbox(self, slot: _Slot) -> None:
        """Subscribe a new inbox for a slot; messages in transit to the old one are not handled."""
        if slot.subscription is not None:
            await slot.subscription.unsubscribe()
        slot.inbox = self._bus.client.new_inbox()
        inbox = slot.inbox

        async def on_message(message: Msg) -> None:
            if slot.inbox == inbox:
                self._on_message(slot, message)

        slot.subscription = await self._bus.subscribe(inbox, on_message)

    def _on_message(self, slot: _Slot, message: Msg) -> None:
        headers = message.headers or {}
        status = headers.get("Status")
        if status is not None:
            self._on_status(slot, status, headers.get("Description", ""))
            return
        if slot.switching or self._draining:
            return
        pin = headers.get("Nats-Pin-Id", "")
        if pin == slot.pin:
            self._on_delivery(slot.number, Delivery.from_message(message))
        elif not slot.pin and self._claimed >= self._fair_share():
            self._decline(slot)
        elif self._tasks is not None:
            slot.switching = True
            self._tasks.create_task(self._acquire(slot, pin))

    def _on_status(self, slot: _Slot, status: str, description: str) -> None:
        if status == _STATUS_WRONG_PIN:
            self._release(slot)
        elif is_missing(status, description):
            # A consumer that is created again has no pin.
            self._release(slot)
            self._bus.report_missing()

    async def _acquire(self, slot: _Slot, pin: str) -> None:
        """Suspend, reset, resume."""
        try:
            if slot.pin and slot.pin != pin:
                self._release(slot)
            await self._renew_inbox(slot)
            await self._bus.flush()
            await self._bus.api(f"CONSUMER.RESET.{slot.consumer_path}", timeout_s=_API_TIMEOUT_S)
            slot.pin = pin
            _log.info("slots.acquired", slot=slot.number)
            await self._pull(slot)
        except (BusError, TimeoutError) as error:
            _log.warning("slots.acquire_failed", slot=slot.number, error=str(error))
            self._release(slot)
        finally:
            slot.switching = False

    def _reacquire_all(self) -> None:
        """Acquire held slots again after a reconnection: messages lost in transit would be redelivered out of order."""
        for slot in self._slots:
            if slot.pin and not slot.switching and self._tasks is not None:
                slot.switching = True
                self._tasks.create_task(self._acquire(slot, slot.pin))

    def _release(self, slot: _Slot) -> None:
        if slot.pin:
            _log.info("slots.released", slot=slot.number)
            slot.pin = ""
            self._on_release(slot.number)
        slot.declined_until = 0.0

    def _release_surplus(self) -> None:
        """Release slots beyond the fair share: the server moves the pin of a slot that is not pulled."""
        surplus = len(self.held) - self._fair_share()
        for slot in reversed(self._slots):
            if surplus <= 0:
                return
            if slot.pin and not slot.switching:
                self._release(slot)
                self._decline(slot)
                surplus -= 1

    def _decline(self, slot: _Slot) -> None:
        """Leave a slot alone until its pin has expired and another process has acquired it.

        Messages delivered here in the meantime stay unacknowledged: the next owner resets the consumer.
        """
        if self._tasks is not None:
            slot.declined_until = asyncio.get_running_loop().time() + 3 * slot.spec.priority_timeout_s
            slot.switching = True
            self._tasks.create_task(self._abandon_inbox(slot))

    async def _abandon_inbox(self, slot: _Slot) -> None:
        try:
            await self._renew_inbox(slot)
        except (BusError, nats.errors.Error) as error:
            _log.warning("slots.unsubscribe_failed", slot=slot.number, error=str(error))
        finally:
            slot.switching = False

    # -- slots without an owner ---

    async def take_over(self, slots: Iterable[int]) -> None:
        """Acquire the slots of a stopping or dead process without waiting for its pins to expire."""
        async with asyncio.TaskGroup() as tasks:
            for slot in [self._slots[number] for number in slots]:
                if not slot.pin and not slot.switching and not self._draining:
                    tasks.create_task(self._take_over(slot))

    async def _take_over(self, slot: _Slot) -> None:
        try:
            await self._bus.api(
                f"CONSUMER.UNPIN.{slot.consumer_path}", {"group": slot.spec.pinned}, timeout_s=_API_TIMEOUT_S
            )
        except BusError as error:
            _log.warning("slots.takeover_failed", slot=slot.number, error=str(error))
            return
        _log.info("slots.unpinned", slot=slot.number)
        await self._reset_if_orphaned(slot)
        await self._pull(slot)

    async def _check_quiet_slots(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_INTERVAL_S)
            if self._draining or len(self.held) >= self._fair_share():
                continue
            async with asyncio.TaskGroup() as tasks:
                for slot in self._slots:
                    if not slot.pin and not slot.switching:
                        tasks.create_task(self._reset_if_orphaned(slot))

    async def _reset_if_orphaned(self, slot: _Slot) -> None:
        try:
            state = await self._bus.api(f"CONSUMER.INFO.{slot.consumer_path}", timeout_s=_INFO_TIMEOUT_S)
            if state.get("num_ack_pending", 0) > 0 and not _is_pinned(state):
                _log.info("slots.orphaned", slot=slot.number, unacknowledged=state["num_ack_pending"])
                await self._bus.api(f"CONSUMER.RESET.{slot.consumer_path}", timeout_s=_API_TIMEOUT_S)
        except BusError as error:
            _log.warning("slots.check_failed", slot=slot.number, error=str(error))


def _is_pinned(consumer_info: dict[str, Any]) -> bool:
    return any(group.get("pinned_client_id") for group in consumer_info.get("priority_groups") or [])
