"""Deltas to the ingress, over core NATS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from trunkline_chassis.bus import Bus
from trunkline_protocols import codec, subjects
from trunkline_protocols.ids import Instance
from trunkline_protocols.turn import Delta

Send: TypeAlias = Callable[[str, Delta], Awaitable[None]]
"""Publishes a delta to an ingress."""


def sender(bus: Bus) -> Send:
    """Return a function that publishes deltas to the ingress that holds a conversation's socket."""

    async def send(ingress: str, delta: Delta) -> None:
        await bus.publish(subjects.out(Instance(ingress), delta.ref.conversation), codec.encode(delta))

    return send
