"""The puller for pinned partitions: in order, by one process at a time, taken over within about a second.

The server pins a slot's consumer to the first client that pulls (priority group, policy `pinned_client`) and gives
the pin away when the client has not pulled for `priority_timeout`. On every new pin the slot is taken in three steps,
so that what the process before left unacknowledged comes first and in order:

    hold    leave the old inbox: nothing that was sent before the reset is handled
    reset   put the consumer back to its ack floor
    go on   pull into a new inbox with the pin

A pin moves only with a delivery, so a standby looks at the quiet slots and resets one that has messages
unacknowledged and nobody pinned. Where a process is known to stop or to be dead, its heirs take its pins away at once.
A process takes no more slots than its fair share. Whoever takes a slot does not wait for the turns that the process
before still finishes: that is between the conversations.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import nats.errors
import structlog

from trunkline_chassis.delivery import Delivery
from trunkline_chassis.errors import BusError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription
    from trunkline_protocols.streams import ConsumerSpec

    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)

_PULL_EVERY_S: Final = 0.4
_PULL_EXPIRES_S: Final = 0.45
"""Short: a request that gets lost, as while a leader is elected, is repeated before anybody notices."""
_WATCH_EVERY_S: Final = 0.5
_API_TIMEOUT_S: Final = 1.0
"""A server that has just come up, or elects a leader, may not answer at all: ask again soon."""
_LOOK_TIMEOUT_S: Final = 0.5
_BATCH: Final = 200
_NS: Final = 1_000_000_000


class _Slot:
    """One slot's consumer as this process sees it."""

    def __init__(self, number: int, spec: ConsumerSpec) -> None:
        self.number = number
        self.spec = spec
        self.pin = ""
        self.inbox = ""
        self.subscription: Subscription | None = None
        self.declined_until = 0.0
        self.taking = False

    @property
    def address(self) -> str:
        return f"{self.spec.stream}.{self.spec.name}"


class PinnedConsumer:
    """Feeds deliveries of the slots that this process holds to `deliver`, in order."""

    def __init__(
        self,
        bus: Bus,
        consumers: list[ConsumerSpec],
        *,
        on_delivery: Callable[[int, Delivery], None],
        on_release: Callable[[int], None],
        fair_share: Callable[[], int],
    ) -> None:
        """`deliver` hands over at once; `released` hears of a slot that is not ours any more; `fair_share` bounds."""
        self._bus = bus
        self._slots = [_Slot(number, spec) for number, spec in enumerate(consumers)]
        self._on_delivery = on_delivery
        self._on_release = on_release
        self._fair_share = fair_share
        self._draining = False
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def held(self) -> list[int]:
        """Slots that are pinned to this process; none from the moment when it drains."""
        return [] if self._draining else [slot.number for slot in self._slots if slot.pin]

    @property
    def _taken(self) -> int:
        """Slots that are held or being taken."""
        return sum(bool(slot.pin) or slot.taking for slot in self._slots)

    async def run(self) -> None:
        """Pull until cancelled."""
        self._bus.on_reconnect.append(self._retake_all)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for slot in self._slots:
                await self._listen(slot)
            tasks.create_task(self._pull_forever())
            tasks.create_task(self._watch_quiet_slots())

    def drain(self) -> None:
        """Pull nothing more; the heirs take the slots at once, at the latest when their pins lapse."""
        self._draining = True
        for slot in self._slots:
            self._release(slot)

    # -- pulling ---

    async def _pull_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            if not self._draining:
                self._release_surplus()
                room = self._fair_share() - len(self.held)
                for slot in self._slots:
                    if slot.taking:
                        continue
                    if slot.pin or (room > 0 and now >= slot.declined_until):
                        await self._pull(slot)
            await asyncio.sleep(_PULL_EVERY_S)

    async def _pull(self, slot: _Slot) -> None:
        pin = b',"id":"%s"' % slot.pin.encode() if slot.pin else b""
        request = b'{"batch":%d,"expires":%d,"group":"%s"%s}' % (
            _BATCH,
            int(_PULL_EXPIRES_S * _NS),
            slot.spec.pinned.encode(),
            pin,
        )
        try:
            await self._bus.client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{slot.address}", request, reply=slot.inbox)
        except Exception as error:  # the next round tries again, whatever the client says
            _log.warning("slots.request_failed", slot=slot.number, error=repr(error))

    async def _listen(self, slot: _Slot) -> None:
        """Subscribe a new inbox for a slot; what is still under way to the old one is not handled."""
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
            self._on_status(slot, status)
            return
        if slot.taking or self._draining:
            return
        pin = headers.get("Nats-Pin-Id", "")
        if pin == slot.pin:
            self._on_delivery(slot.number, Delivery.of(message))
        elif not slot.pin and self._taken >= self._fair_share():
            self._decline(slot)
        elif self._tasks is not None:
            slot.taking = True
            self._tasks.create_task(self._take(slot, pin))

    def _on_status(self, slot: _Slot, status: str) -> None:
        if status == "423":
            self._release(slot)

    async def _take(self, slot: _Slot, pin: str) -> None:
        """Hold, reset, go on."""
        try:
            if slot.pin and slot.pin != pin:
                self._release(slot)
            await self._listen(slot)
            await self._bus.flush()
            await self._bus.api(f"CONSUMER.RESET.{slot.address}", timeout_s=_API_TIMEOUT_S)
            slot.pin = pin
            _log.info("slots.taken", slot=slot.number)
            await self._pull(slot)
        except (BusError, TimeoutError) as error:
            _log.warning("slots.take_failed", slot=slot.number, error=str(error))
            self._release(slot)
        finally:
            slot.taking = False

    def _retake_all(self) -> None:
        """After a reconnection: what was on its way here is lost, and would come back late and out of order."""
        for slot in self._slots:
            if slot.pin and not slot.taking and self._tasks is not None:
                slot.taking = True
                self._tasks.create_task(self._take(slot, slot.pin))

    def _release(self, slot: _Slot) -> None:
        if slot.pin:
            _log.info("slots.released", slot=slot.number)
            slot.pin = ""
            self._on_release(slot.number)
        slot.declined_until = 0.0

    def _release_surplus(self) -> None:
        """Give slots back when more processes have come: stop pulling, and the server gives the pin away."""
        surplus = len(self.held) - self._fair_share()
        for slot in reversed(self._slots):
            if surplus <= 0:
                return
            if slot.pin and not slot.taking:
                self._release(slot)
                self._decline(slot)
                surplus -= 1

    def _decline(self, slot: _Slot) -> None:
        """Hear nothing of a slot for long enough that its pin lapses and another process takes it.

        What is delivered here meanwhile stays unacknowledged: the one who takes the slot resets it.
        """
        if self._tasks is not None:
            slot.declined_until = asyncio.get_running_loop().time() + 3 * slot.spec.priority_timeout_s
            slot.taking = True
            self._tasks.create_task(self._leave(slot))

    async def _leave(self, slot: _Slot) -> None:
        try:
            await self._listen(slot)
        except (BusError, nats.errors.Error) as error:
            _log.warning("slots.leave_failed", slot=slot.number, error=str(error))
        finally:
            slot.taking = False

    # -- slots without a living owner ---

    async def take_over(self, slots: Iterable[int]) -> None:
        """Take what a process held that stops or is dead, without waiting for its pins to lapse."""
        async with asyncio.TaskGroup() as tasks:
            for slot in [self._slots[number] for number in slots]:
                if not slot.pin and not slot.taking and not self._draining:
                    tasks.create_task(self._inherit(slot))

    async def _inherit(self, slot: _Slot) -> None:
        try:
            await self._bus.api(f"CONSUMER.UNPIN.{slot.address}", {"group": slot.spec.pinned}, timeout_s=_API_TIMEOUT_S)
        except BusError as error:
            _log.warning("slots.inherit_failed", slot=slot.number, error=str(error))
            return
        _log.info("slots.inherited", slot=slot.number)
        await self._wake(slot)
        await self._pull(slot)

    async def _watch_quiet_slots(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            if self._draining or len(self.held) >= self._fair_share():
                continue
            async with asyncio.TaskGroup() as tasks:
                for slot in self._slots:
                    if not slot.pin and not slot.taking:
                        tasks.create_task(self._wake(slot))

    async def _wake(self, slot: _Slot) -> None:
        try:
            state = await self._bus.api(f"CONSUMER.INFO.{slot.address}", timeout_s=_LOOK_TIMEOUT_S)
            if state.get("num_ack_pending", 0) > 0 and not _is_pinned(state):
                _log.info("slots.orphaned", slot=slot.number, unacknowledged=state["num_ack_pending"])
                await self._bus.api(f"CONSUMER.RESET.{slot.address}", timeout_s=_API_TIMEOUT_S)
        except BusError as error:
            _log.warning("slots.watch_failed", slot=slot.number, error=str(error))


def _is_pinned(consumer_info: dict[str, Any]) -> bool:
    return any(group.get("pinned_client_id") for group in consumer_info.get("priority_groups") or [])
