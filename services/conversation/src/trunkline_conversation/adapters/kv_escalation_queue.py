"""The escalation queue in KV DESK."""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

from trunkline_chassis.bus import Bus
from trunkline_chassis.kv_view import KvView
from trunkline_chassis.texts import NO_KEYS, Texts
from trunkline_protocols import codec, streams
from trunkline_protocols.escalation import EscalationWaiting
from trunkline_protocols.ids import ConversationId


class KvEscalationQueue:
    """Implements the port `EscalationQueue`: reads from a local view of the bucket, writes with acknowledgement.

    The entries of the view are as they are stored: no decision needs their texts.
    """

    def __init__(self, bus: Bus, now: Callable[[], float], region: str, texts: Texts = NO_KEYS) -> None:
        """Use `now` as the clock, and the keys of customers; call `start` before the first read.

        Entries of other regions are never read, so that nothing here changes or removes them.
        """
        self._bus = bus
        self._region = region
        self._texts = texts
        self._now = now
        self._view = KvView(bus, streams.DESK.name, codec.waiting)

    async def start(self) -> None:
        """Load the bucket and subscribe to its changes."""
        await self._view.start()

    async def run(self) -> None:
        """Keep the view up to date until cancelled."""
        await self._view.run()

    def entries(self) -> tuple[EscalationWaiting, ...]:
        """Return the entries of the view."""
        return tuple(entry for entry in self._view.values.values() if entry.region == self._region)

    def entry(self, conversation: ConversationId) -> EscalationWaiting | None:
        """Return the entry of a conversation in the view."""
        entry = self._view.values.get(conversation)
        return entry if entry is not None and entry.region == self._region else None

    async def put(self, entry: EscalationWaiting) -> None:
        """Write an entry."""
        await self._write(entry.conversation, codec.encode(await self._texts.encrypt(entry)))

    async def remove(self, conversation: ConversationId) -> None:
        """Write an empty value, which is a deletion."""
        await self._write(conversation, b"")

    async def _write(self, conversation: ConversationId, payload: bytes) -> None:
        # The time tells a value that returns, as that of a customer who is back, from a repeated delivery.
        subject = f"$KV.{streams.DESK.name}.{conversation}"
        await self._bus.append(subject, payload, message_id=f"{conversation}-{self._now():.6f}-{crc32(payload)}")
