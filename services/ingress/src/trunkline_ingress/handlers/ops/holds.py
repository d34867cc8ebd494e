"""/v1/ops/holds: legal holds, which keep records beyond their retention."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta
from trunkline_protocols.frames import Token
from trunkline_protocols.holds import HoldPlaced, HoldReleased
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.rules.holds import active_holds

from trunkline_ingress.core.operators import ADMINS, AUDITORS
from trunkline_ingress.handlers.access import Route, author_of, operator_of, operators
from trunkline_ingress.handlers.http import body_of, json_response, token_of
from trunkline_ingress.operator_ports import HoldStore

_MAX_ID_CHARACTERS: Final = 200
_MAX_REASON_CHARACTERS: Final = 1_000
Reason = Annotated[str, Meta(min_length=1, max_length=_MAX_REASON_CHARACTERS)]


class HoldBody(msgspec.Struct, omit_defaults=True):
    """Body of `POST /v1/ops/holds`: a conversation, a customer of a tenant, or a tenant."""

    reason: Reason
    conversation: Token | None = None
    tenant: Token | None = None
    customer: Annotated[str, Meta(min_length=1, max_length=_MAX_ID_CHARACTERS)] | None = None
    person: str = ""
    """Name of the person for the shared token of a single machine; a named key has its own."""


class ReleaseBody(msgspec.Struct, omit_defaults=True):
    """Body of `POST /v1/ops/holds/{hold}/release`."""

    reason: Reason
    person: str = ""


@dataclass(frozen=True, slots=True)
class HoldOps:
    """Handlers for holds."""

    store: HoldStore

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/v1/ops/holds", self.list_all, operators(AUDITORS)),
            Route("POST", "/v1/ops/holds", self.place, operators(AUDITORS)),
            Route("POST", "/v1/ops/holds/{hold}/release", self.release, operators(ADMINS)),
        ]

    async def list_all(self, _: web.Request) -> web.Response:
        """Return all active holds."""
        return json_response(active_holds(await self.store.messages()))

    async def place(self, request: web.Request) -> web.Response:
        """Place a hold; it is stored when the response arrives."""
        body = await body_of(request, HoldBody)
        if (body.conversation is None) == (body.tenant is None):
            raise web.HTTPBadRequest(text="name either a conversation, or a tenant, or a customer of a tenant")
        if body.customer is not None and body.tenant is None:
            raise web.HTTPBadRequest(text="name the tenant of the customer")
        hold = HoldPlaced(
            hold=f"h{secrets.token_hex(6)}",
            reason=body.reason,
            placed_at=time.time(),
            operator=author_of(request, body.person),
            role=operator_of(request).role,
            conversation=ConversationId(body.conversation) if body.conversation is not None else None,
            tenant=body.tenant or "",
            customer=body.customer or "",
        )
        await self.store.append(hold)
        return json_response(hold)

    async def release(self, request: web.Request) -> web.Response:
        """Release a hold; 404 if it is not active."""
        body = await body_of(request, ReleaseBody)
        name = token_of(request, "hold")
        if all(hold.hold != name for hold in active_holds(await self.store.messages())):
            raise web.HTTPNotFound(text=f"no active hold {name}")
        released = HoldReleased(
            hold=name,
            reason=body.reason,
            released_at=time.time(),
            operator=author_of(request, body.person),
            role=operator_of(request).role,
        )
        await self.store.append(released)
        return json_response(released)
