"""/v1/ops/status and /v1/ops/trace: how the suite is, and a conversation's story."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError
from trunkline_protocols import codec, subjects
from trunkline_protocols.presence import GetStatus

from trunkline_ingress.core.trace import tell
from trunkline_ingress.handlers.http import conversation_of, json_response
from trunkline_ingress.ports import Line

_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class SuiteOps:
    """Watches."""

    bus: Bus
    line: Line
    region: str

    def routes(self) -> list[web.AbstractRouteDef]:
        """Where is what."""
        return [
            web.get("/v1/ops/status", self.status),
            web.get("/v1/ops/trace/{conversation}", self.trace),
        ]

    async def status(self, _: web.Request) -> web.Response:
        """Tell the supervision tree."""
        try:
            raw = await self.bus.request(subjects.status(self.region), codec.encode(GetStatus()), timeout_s=_TIMEOUT_S)
        except BusUnavailableError as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from error
        return web.Response(body=raw, content_type="application/json")

    async def trace(self, request: web.Request) -> web.Response:
        """Tell a conversation's story."""
        conversation = conversation_of(request)
        inbox = await self.line.inbox(self.region, conversation, after=0)
        orders = await self.line.desk(self.region, conversation)
        commits = await self.line.commits(self.region, conversation, after=0)
        if not inbox and not commits:
            raise web.HTTPNotFound(text=f"no conversation {conversation}")
        return json_response(tell(conversation, [*inbox, *orders], commits))
