"""/v1/ops/notices: publish broadcasts to agents and customers, list their receipts, recall them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta
from trunkline_protocols.broadcast import NoticePublished, NoticeRecalled, Severity
from trunkline_protocols.presence import SUPERVISOR
from trunkline_protocols.streams import NOTICES
from trunkline_protocols.subjects import Audience

from trunkline_ingress.core.operators import LEADS, VIEWERS
from trunkline_ingress.handlers.access import Route, operators
from trunkline_ingress.handlers.http import body_of, json_response, token_of
from trunkline_ingress.operator_ports import NoticeStore
from trunkline_ingress.ports import LiveProcesses, NoticeView

_MAX_TTL_S: Final = NOTICES.max_age_s
_RECALL_MARGIN_S: Final = 60.0
"""A recall outlives its notice by this time: a process that reads the stream later must find both."""


class PublishNotice(msgspec.Struct):
    """Body of `POST /v1/ops/notices`."""

    text: Annotated[str, Meta(min_length=1, max_length=2_000)]
    audience: Audience
    severity: Severity = "info"
    ttl_s: Annotated[float, Meta(ge=1, le=_MAX_TTL_S)] = 3_600.0
    specialties: list[str] = []
    tenants: list[str] = []


class _NoticeStatus(msgspec.Struct, kw_only=True):
    notice: NoticePublished
    received_by: list[str]
    missing: list[str]
    """Live processes that have not confirmed the notice."""


@dataclass(frozen=True, slots=True)
class NoticeOps:
    """Handlers for notices."""

    store: NoticeStore
    notices: NoticeView
    processes: LiveProcesses
    region: str
    now: Callable[[], float] = time.time
    """Clock: Unix seconds."""

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/v1/ops/notices", self.list_all, operators(VIEWERS)),
            Route("POST", "/v1/ops/notices", self.publish, operators(LEADS)),
            Route("GET", "/v1/ops/notices/{notice}", self.show, operators(VIEWERS)),
            Route("DELETE", "/v1/ops/notices/{notice}", self.recall, operators(LEADS)),
        ]

    async def list_all(self, _: web.Request) -> web.Response:
        """Return all active notices."""
        return json_response([await self._status(notice) for notice in self._active()])

    async def publish(self, request: web.Request) -> web.Response:
        """Publish a notice."""
        body = await body_of(request, PublishNotice)
        now = self.now()
        notice = NoticePublished(
            notice=f"n{secrets.token_hex(6)}",
            text=body.text,
            severity=body.severity,
            audience=body.audience,
            published_at=now,
            expires_at=now + body.ttl_s,
            region=self.region,
            specialties=body.specialties,
            tenants=body.tenants,
        )
        await self.store.publish(notice, message_id=f"{notice.notice}-published", ttl_s=body.ttl_s)
        return json_response(await self._status(notice))

    async def show(self, request: web.Request) -> web.Response:
        """Return one notice and its receipts."""
        return json_response(await self._status(self._notice_of(request)))

    async def recall(self, request: web.Request) -> web.Response:
        """Recall a notice."""
        notice = self._notice_of(request)
        now = self.now()
        recalled = NoticeRecalled(notice=notice.notice, audience=notice.audience, region=notice.region, recalled_at=now)
        ttl_s = notice.expires_at - now + _RECALL_MARGIN_S
        await self.store.publish(recalled, message_id=f"{notice.notice}-recalled", ttl_s=ttl_s)
        return json_response(recalled)

    def _active(self) -> list[NoticePublished]:
        audiences: tuple[Audience, ...] = ("agents", "customers")
        found = {notice.notice: notice for audience in audiences for notice in self.notices.active(audience)}
        return sorted(found.values(), key=lambda notice: notice.published_at)

    def _notice_of(self, request: web.Request) -> NoticePublished:
        """Return the active notice of the path; raise `HTTPNotFound` if it is not active."""
        name = token_of(request, "notice")
        for notice in self._active():
            if notice.notice == name:
                return notice
        raise web.HTTPNotFound(text=f"no active notice {name}")

    async def _status(self, notice: NoticePublished) -> _NoticeStatus:
        received_by = await self.store.receipts(notice.notice)
        alive = {presence.instance for presence in self.processes.alive() if presence.service != SUPERVISOR}
        return _NoticeStatus(notice=notice, received_by=sorted(received_by), missing=sorted(alive - received_by))
