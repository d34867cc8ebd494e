"""Broadcasts as a process knows them: those in force, caught up before it answers, each with a receipt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from trunkline_protocols import codec, subjects
from trunkline_protocols.broadcast import (
    NoticeMessage,
    NoticePublished,
    NoticeRecalled,
    NoticeReceipt,
    concerns,
)
from trunkline_protocols.streams import NOTICES

from trunkline_chassis.cancellation import wait_for_event
from trunkline_chassis.errors import BusError

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from trunkline_protocols.ids import Instance
    from trunkline_protocols.subjects import Audience

    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)
_REFRESH_S: Final = 15.0


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
        self._news = asyncio.Event()
        self._stale = False
        self.on_change: Callable[[NoticeMessage], None] = lambda _: None
        """Called with every notice and recall that is news to this process."""

    async def start(self) -> None:
        """Listen, then read everything that is in the stream."""
        await self._bus.subscribe(subjects.notices(self._region), self._on_message)
        self._bus.on_reconnect.append(self._reread)
        await self._read()

    async def run(self) -> None:
        """Send receipts as notices come, read the stream again where one may have been missed; until cancelled."""
        while True:
            try:
                await self._confirm()
                if self._stale:
                    await self._read()
                    self._stale = False
            except BusError as error:
                _log.warning("notices.unread", error=str(error))
                await asyncio.sleep(1.0)
                continue
            if not await wait_for_event(self._news, within_s=_REFRESH_S):
                self._stale = True
            self._news.clear()

    def in_force(
        self, audience: Audience, *, tenant: str = "", specialty: str = "", now: float | None = None
    ) -> list[NoticePublished]:
        """Notices for an audience that concern a tenant and a specialty, the latest last."""
        at = time.time() if now is None else now
        return [
            notice
            for notice in self._in_force.values()
            if notice.audience in (audience, "all") and concerns(notice, now=at, tenant=tenant, specialty=specialty)
        ]

    def _reread(self) -> None:
        self._stale = True
        self._news.set()

    async def _read(self) -> None:
        for stored in await self._bus.read(NOTICES.name, subjects.notices(self._region)):
            self._take(stored.subject, stored.payload)

    async def _on_message(self, message: Msg) -> None:
        self._take(message.subject, message.data)

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
        self._news.set()

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
