"""Active notices of a process: read before it serves requests, then followed, each acknowledged by a receipt."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec
from trunkline_protocols import codec, subjects
from trunkline_protocols.broadcast import NoticeMessage, NoticePublished, NoticeRecalled, NoticeReceipt
from trunkline_protocols.rules.notices import concerns
from trunkline_protocols.streams import NOTICES

from trunkline_chassis.refresher import Refresher
from trunkline_chassis.undecodable import report_undecodable

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from trunkline_protocols.ids import Instance
    from trunkline_protocols.subjects import Audience

    from trunkline_chassis.bus import Bus

_REFRESH_INTERVAL_S: Final = 15.0


class Notices:
    """The active notices of one region."""

    def __init__(
        self, bus: Bus, *, region: str, service: str, instance: Instance, now: Callable[[], float] = time.time
    ) -> None:
        """Start empty; `start` reads the stream. `now` returns Unix seconds."""
        self._bus = bus
        self._region = region
        self._service = service
        self._instance = instance
        self._now = now
        self._known: dict[str, NoticePublished] = {}
        self._unacknowledged: list[str] = []
        self._subscribed = False
        self._refresher = Refresher(bus, self._refresh, name="notices", interval_s=_REFRESH_INTERVAL_S)
        self.on_change: Callable[[NoticeMessage], None] = lambda _: None
        """Called with every new notice and every new recall."""

    async def start(self) -> None:
        """Subscribe, then read the whole stream; can be repeated if it fails."""
        if not self._subscribed:
            await self._bus.subscribe(subjects.notices(self._region), self._on_message)
            self._subscribed = True
        await self._read()
        self._refresher.mark_stale()  # the receipts are still to be published

    async def run(self) -> None:
        """Publish receipts, and read the stream again after a reconnection and periodically, until cancelled."""
        await self._refresher.run()

    def active(
        self, audience: Audience, *, tenant: str = "", specialty: str = "", now: float | None = None
    ) -> list[NoticePublished]:
        """Return the active notices for an audience that concern a tenant and a specialty, the latest last."""
        at = self._now() if now is None else now
        return [
            notice
            for notice in self._known.values()
            if notice.audience in (audience, "all") and concerns(notice, now=at, tenant=tenant, specialty=specialty)
        ]

    async def _refresh(self) -> None:
        await self._read()
        await self._publish_receipts()

    async def _read(self) -> None:
        for stored in await self._bus.read_messages(NOTICES.name, subjects.notices(self._region)):
            self._apply(stored.subject, stored.payload)

    async def _on_message(self, message: Msg) -> None:
        self._apply(message.subject, message.data)
        self._refresher.mark_stale()

    def _apply(self, subject: str, payload: bytes) -> None:
        try:
            message = codec.notice.decode(payload)
        except codec.DecodeError as error:
            report_undecodable("notice", subject, error)
            return
        now = self._now()
        match message:
            case NoticePublished() if message.notice not in self._known and now < message.expires_at:
                self._known[message.notice] = message
                self._unacknowledged.append(message.notice)
                self.on_change(message)
            case NoticeRecalled() if message.notice in self._known:
                # A recalled notice is kept as expired: a re-read of the stream must not reactivate it.
                expired = self._known[message.notice]
                # From now on, too, if the clock of the process that recalled it is ahead.
                ended_at = min(message.recalled_at, now)
                if expired.expires_at > now:
                    self._known[message.notice] = msgspec.structs.replace(expired, expires_at=ended_at)
                    self.on_change(message)
            case _:
                pass

    async def _publish_receipts(self) -> None:
        while self._unacknowledged:
            notice = self._unacknowledged[0]
            receipt = NoticeReceipt(
                notice=notice, service=self._service, instance=self._instance, received_at=self._now()
            )
            await self._bus.append(
                subjects.receipt(self._region, notice, self._instance),
                codec.encode(receipt),
                message_id=f"{notice}-{self._instance}-{receipt.received_at:.3f}",
            )
            self._unacknowledged.pop(0)
