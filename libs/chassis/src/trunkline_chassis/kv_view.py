"""An in-memory view of a KV bucket: the latest value of every key, kept up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

from trunkline_protocols import codec

from trunkline_chassis.refresher import Refresher
from trunkline_chassis.undecodable import report_undecodable

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.msg import Msg

    from trunkline_chassis.bus import Bus

_REFRESH_INTERVAL_S: Final = 30.0

T = TypeVar("T")


class KvView(Generic[T]):
    """Follows one bucket: applies every change, and reads the whole bucket again if changes may have been missed."""

    def __init__(self, bus: Bus, bucket: str, decoder: codec.Decoder[T]) -> None:
        """Undecodable values are reported and skipped: the last readable value of their key stays."""
        self._bus = bus
        self._bucket = bucket
        self._decoder = decoder
        self._refresher = Refresher(bus, self._read, name="kv_view", interval_s=_REFRESH_INTERVAL_S)
        self.values: dict[str, T] = {}
        self.on_change: Callable[[str], None] = lambda _: None
        """Called with the key of every change."""

    async def start(self) -> None:
        """Subscribe, then read the bucket: in this order no change is missed."""
        await self._bus.subscribe(f"$KV.{self._bucket}.>", self._on_message)
        await self._read()

    async def run(self) -> None:
        """Read the bucket again after every reconnection and periodically, until cancelled."""
        await self._refresher.run()

    async def _read(self) -> None:
        found = await self._bus.read_messages(f"KV_{self._bucket}", f"$KV.{self._bucket}.>")
        current = {self._key(stored.subject): stored.payload for stored in found}
        for key in [key for key in self.values if key not in current]:
            self._apply(key, b"")
        for key, payload in current.items():
            self._apply(key, payload)

    async def _on_message(self, message: Msg) -> None:
        self._apply(self._key(message.subject), message.data)

    def _key(self, subject: str) -> str:
        """Return the whole key: it may have several tokens."""
        return subject.removeprefix(f"$KV.{self._bucket}.")

    def _apply(self, key: str, payload: bytes) -> None:
        """Store a value; an empty payload is a deletion."""
        before = self.values.get(key)
        if not payload:
            self.values.pop(key, None)
        else:
            try:
                self.values[key] = self._decoder.decode(payload)
            except codec.DecodeError as error:
                report_undecodable(self._bucket.lower(), key, error)
                return
        if self.values.get(key) != before:
            self.on_change(key)
