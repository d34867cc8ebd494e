"""NATS adapters: deltas to the ingress over core NATS, shared spending in KV SPENDING."""

from __future__ import annotations

from collections.abc import Callable

from trunkline_chassis.bus import Bus
from trunkline_chassis.kv_view import KvView
from trunkline_protocols import codec, subjects
from trunkline_protocols.ids import Instance
from trunkline_protocols.spending import Spent
from trunkline_protocols.streams import SPENDING
from trunkline_protocols.turn import Delta

from trunkline_llm_gateway.ports import SendDelta


def delta_sender(bus: Bus) -> SendDelta:
    """Return a function that publishes deltas to the ingress that holds a conversation's socket."""

    async def send(ingress: str, delta: Delta) -> None:
        await bus.publish(subjects.out(Instance(ingress), delta.ref.conversation), codec.encode(delta))

    return send


class KvSpendingStore:
    """Publishes sums of this process to KV SPENDING and follows the sums of all gateways."""

    def __init__(self, bus: Bus) -> None:
        """`follow` must run before changes are received."""
        self._bus = bus
        self._view = KvView(bus, SPENDING.name, codec.spent)

    async def follow(self, on_spent: Callable[[Spent], None]) -> None:
        """Call `on_spent` with every stored sum, and from now on with every change."""

        def on_change(key: str) -> None:
            spent = self._view.values.get(key)
            if spent is not None:
                on_spent(spent)

        self._view.on_change = on_change
        await self._view.start()

    async def run(self) -> None:
        """Read the bucket again after reconnections and periodically, until cancelled."""
        await self._view.run()

    async def publish(self, spent: Spent) -> None:
        """Publish one sum; raise `BusError` if that fails."""
        key = f"{spent.day}.{spent.tenant}.{spent.instance}"
        await self._bus.publish(f"$KV.{SPENDING.name}.{key}", codec.encode(spent))
