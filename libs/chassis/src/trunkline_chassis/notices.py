"""Broadcasts as a process knows them: those in force, caught up before it answers, each with a receipt."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from trunkline_protocols import codec, subjects
from trunkline_protocols.broadcast import NoticeMessage, NoticePublished, NoticeRecalled, NoticeReceipt
from trunkline_protocols.rules.notices import concerns
from trunkline_protocols.streams import NOTICES

from trunkline_chassis.refresher import Refresher

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from trunkline_protocols.ids import Instance
    from trunkline_protocols.subjects import Audience

    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)
_REFRESH_INTERVAL_S: Final = 15.0


class Notices:
    """The notices in force in one region."""

    def __init__(self, bus: Bus, *, region: str, service: str, instance: Instance) -> None:
        """Start knows nothing; `start` catches up."""
        self._bus = bus
        self._region = region
        self._service = service
        self._instance = instance
        self._in_force: dict[str, NoticePublished] = {}
        self._unconfirmed: list[str] = []
        self._refresher = Refresher(bus, self._refresh, name="notices", interval_s=_REFRESH_INTERVAL_S)
        self.on_change: Callable[[NoticeMessage], None] = lambda _: None
        """Called with every notice and recall that is news to this process."""

    async def start(self) -> None:
        """Listen, then read everything that is in the stream."""
        await self._bus.subscribe(subjects.notices(self._region), self._on_message)
        await self._read()
        self._refresher.mark_stale()  # the receipts are still to be published

    async def run(self) -> None:
        """Publish receipts, and read the stream again after a reconnection and periodically, until cancelled."""
        await self._refresher.run()

    def active(
        self, audience: Audience, *, tenant: str = "", specialty: str = "", now: float | None = None
    ) -> list[NoticePublished]:
        """Notices for an audience that concern a tenant and a specialty, the latest last."""
        at = time.time() if now is None else now
        return [
            notice
            for notice in self._in_force.values()
            if notice.audience in (audience, "all") and concerns(notice, now=at, tenant=tenant, specialty=specialty)
        ]

    async def _refresh(self) -> None:
        await self._read()
        await self._confirm()

    async def _read(self) -> None:
        for stored in await self._bus.read_messages(NOTICES.name, subjects.notices(self._region)):
            self._take(stored.subject, stored.payload)

    async def _on_message(self, message: Msg) -> None:
        self._take(message.subject, message.data)
        self._refresher.mark_stale()

    def _take(self, subject: str, payload: bytes) -> None:
        try:
            message = codec.notice.decode(payload)
        except codec.DecodeError as error:
            _log.error("notice.unreadable", subject=subject, error=str(error))
            return
        now = time.time()
        match message:
            case NoticePublished() if message.notice not in self._in_force and now < message.expires_at:
                self._in_force[message.notice] = message
                self._unconfirmed.append(message.notice)
                self.on_change(message)
            case NoticeRecalled() if message.notice in self._in_force:
                # A recalled notice stays known as expired: reading the stream again must not revive it.
                expired = self._in_force[message.notice]
                if expired.expires_at > message.recalled_at:
                    self._in_force[message.notice] = msgspec.structs.replace(expired, expires_at=message.recalled_at)
                    self.on_change(message)
            case _:
                pass

    async def _confirm(self) -> None:
        while self._unconfirmed:
            notice = self._unconfirmed[0]
            receipt = NoticeReceipt(
                notice=notice, service=self._service, instance=self._instance, received_at=time.time()
            )
            await self._bus.append(
                subjects.receipt(self._region, notice, self._instance),
                codec.encode(receipt),
                message_id=f"{notice}-{self._instance}-{receipt.received_at:.3f}",
            )
            self._unconfirmed.pop(0)
