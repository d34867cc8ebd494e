"""Change feed of several processes that share one Milvus server, on key `changed` of KV KNOWLEDGE.

The sequence of the key's last value is the version; every write of any process appends a value.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from nats.aio.msg import Msg
from trunkline_chassis.bus import Bus
from trunkline_chassis.refresher import Refresher
from trunkline_protocols import codec
from trunkline_protocols.streams import KNOWLEDGE

_STREAM: Final = f"KV_{KNOWLEDGE.name}"
_CHANGED: Final = f"$KV.{KNOWLEDGE.name}.changed"
_REFRESH_INTERVAL_S: Final = 30.0
"""A notification may be lost."""


class _Change(msgspec.Struct, frozen=True):
    """A write; `is_complete` if no more writes of the same import follow."""

    is_complete: bool = msgspec.field(name="settled")


_decode_change: Final = codec.Decoder[_Change](_Change).decode


class KvChangeFeed:
    """Publishes and follows writes."""

    def __init__(self, bus: Bus, instance: str) -> None:
        """`instance` makes message ids unique."""
        self._bus = bus
        self._instance = instance

    async def version(self) -> int:
        """Return the sequence of the last published write, 0 before the first one."""
        last = await self._bus.last_message(_STREAM, _CHANGED)
        return last.seq if last is not None else 0

    async def publish(self, *, is_complete: bool) -> int:
        """Publish a write and return the new version."""
        change = msgspec.json.encode(_Change(is_complete=is_complete))
        stored = await self._bus.append(_CHANGED, change, message_id=f"{self._instance}-{time.time_ns()}")
        return stored.seq

    async def follow(self, on_change: Callable[[], Awaitable[None]]) -> None:
        """Call `on_change` at the start, after complete writes and every 30 s, until cancelled."""
        refresher = Refresher(self._bus, on_change, name="index", interval_s=_REFRESH_INTERVAL_S)

        async def on_message(message: Msg) -> None:
            with contextlib.suppress(codec.DecodeError):
                if _decode_change(message.data).is_complete:
                    refresher.mark_stale()

        await self._bus.subscribe(_CHANGED, on_message)
        refresher.mark_stale()
        await refresher.run()
