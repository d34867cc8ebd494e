"""/v1/ops/notices: broadcasts to agents and customers, who has received them, and their recall."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta
from trunkline_chassis.bus import Bus
from trunkline_chassis.notices import Notices
from trunkline_chassis.presence import PresenceRegistry
from trunkline_protocols import codec, subjects
from trunkline_protocols.broadcast import NoticePublished, NoticeRecalled, NoticeReceipt, Severity
from trunkline_protocols.streams import NOTICES
from trunkline_protocols.subjects import Audience

from trunkline_ingress.handlers.http import body_of, json_response, token_of

LONGEST_TTL_S: Final = NOTICES.max_age_s


class PublishNotice(msgspec.Struct):
    """Body of `POST /v1/ops/notices`."""

    text: Annotated[str, Meta(min_length=1, max_length=2_000)]
    audience: Audience
    severity: Severity = "info"
    ttl_s: Annotated[float, Meta(ge=1, le=LONGEST_TTL_S)] = 3_600.0
    specialties: list[str] = []
    tenants: list[str] = []


class _Shown(msgspec.Struct, kw_only=True):
    notice: NoticePublished
    received_by: list[str]
    missing: list[str]
    """Processes that live and have not confirmed it."""


@dataclass(frozen=True, slots=True)
class NoticeOps:
    """Publishes and recalls."""

    bus: Bus
    notices: Notices
    presences: PresenceRegistry
    region: str

    def routes(self) -> list[web.AbstractRouteDef]:
        """Where is what."""
        return [
            web.get("/v1/ops/notices", self.list_all),
            web.post("/v1/ops/notices", self.publish),
            web.get("/v1/ops/notices/{notice}", self.show),
            web.delete("/v1/ops/notices/{notice}", self.recall),
        ]

    async def list_all(self, _: web.Request) -> web.Response:
        """Tell the notices in force, for whomever."""
        return json_response([await self._shown(notice) for notice in self._in_force()])

    async def publish(self, request: web.Request) -> web.Response:
        """Broadcast."""
        order = await body_of(request, PublishNotice)
        now = time.time()
        notice = NoticePublished(
            notice=f"n{secrets.token_hex(6)}",
            text=order.text,
            severity=order.severity,
            audience=order.audience,
            published_at=now,
            expires_at=now + order.ttl_s,
            region=self.region,
            specialties=order.specialties,
            tenants=order.tenants,
        )
        await self._store(notice, f"{notice.notice}-published", ttl_s=order.ttl_s)
        return json_response(await self._shown(notice))

    async def show(self, request: web.Request) -> web.Response:
        """Tell one notice and its receipts."""
        return json_response(await self._shown(self._known(request)))

    async def recall(self, request: web.Request) -> web.Response:
        """Take a notice back."""
        notice = self._known(request)
        now = time.time()
        recalled = NoticeRecalled(notice=notice.notice, audience=notice.audience, region=notice.region, recalled_at=now)
        # It outlives what it recalls: whoever reads the stream later must find both.
        await self._store(recalled, f"{notice.notice}-recalled", ttl_s=notice.expires_at - now + 60)
        return json_response(recalled)

    async def _store(self, message: NoticePublished | NoticeRecalled, message_id: str, *, ttl_s: float) -> None:
        subject = subjects.notice(self.region, message.audience)
        await self.bus.append(subject, codec.encode(message), message_id=message_id, ttl_s=ttl_s)

    def _in_force(self) -> list[NoticePublished]:
        everybody: tuple[Audience, ...] = ("agents", "customers")
        found = {notice.notice: notice for audience in everybody for notice in self.notices.active(audience)}
        return sorted(found.values(), key=lambda notice: notice.published_at)

    def _known(self, request: web.Request) -> NoticePublished:
        name = token_of(request, "notice")
        for notice in self._in_force():
            if notice.notice == name:
                return notice
        raise web.HTTPNotFound(text=f"no notice {name} is in force")

    async def _shown(self, notice: NoticePublished) -> _Shown:
        stored = await self.bus.read_messages(NOTICES.name, subjects.receipts(self.region, notice.notice))
        receipts = [codec.notice.decode(message.payload) for message in stored]
        received_by = {receipt.instance for receipt in receipts if isinstance(receipt, NoticeReceipt)}
        living = {presence.instance for presence in self.presences.alive()}
        return _Shown(notice=notice, received_by=sorted(received_by), missing=sorted(living - received_by))
