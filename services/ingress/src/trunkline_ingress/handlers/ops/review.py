"""/v1/ops/review: questions without an answer, low ratings and misroutes."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from aiohttp import web
from trunkline_protocols.ids import ConversationId

from trunkline_ingress.application.review_index import ReviewIndex
from trunkline_ingress.application.view_recording import record_views
from trunkline_ingress.core.operators import AUDITORS, VIEWERS
from trunkline_ingress.core.review import ReviewItem
from trunkline_ingress.handlers.access import Route, operator_of, operators
from trunkline_ingress.handlers.http import json_response
from trunkline_ingress.operator_ports import ViewRecords


class Review(msgspec.Struct, kw_only=True):
    """The latest items first; texts are empty for roles that may not read every conversation."""

    items: list[ReviewItem]
    since: float
    """Time of the oldest commit that was read, 0 if there was none."""


@dataclass(frozen=True, slots=True)
class ReviewOps:
    """Handlers for the review of turns."""

    index: ReviewIndex
    views: ViewRecords
    region: str

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("GET", "/v1/ops/review", self.list_items, operators(VIEWERS))]

    async def list_items(self, request: web.Request) -> web.Response:
        """Return the items; without texts unless the operator's role may read every conversation."""
        items = await self.index.latest()
        operator = operator_of(request)
        if operator.role in AUDITORS:
            shown = [(self.region, ConversationId(item.conversation)) for item in items if item.text or item.reason]
            await record_views(self.views, shown, "review", operator)
        else:
            items = [item.without_texts() for item in items]
        return json_response(Review(items=items, since=self.index.since))
