"""/v1/ops/me and /v1/console/session: the operator who asks, and sessions for the code of a console link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from trunkline_ingress.core.operators import VIEWERS, Role
from trunkline_ingress.handlers.access import ANYONE, Route, operator_of, operators
from trunkline_ingress.handlers.http import body_of, check_origin, json_response
from trunkline_ingress.operator_ports import ConsoleSessions

_MAX_BODY_BYTES: Final = 4_096
"""Any caller may send this body."""


class RedeemLink(msgspec.Struct):
    """Body of `POST /v1/console/session`."""

    code: Annotated[str, Meta(min_length=1, max_length=200)]


class _Session(msgspec.Struct):
    token: str


class _Me(msgspec.Struct):
    name: str
    """Empty for the shared token."""
    role: Role


@dataclass(frozen=True, slots=True)
class OperatorOps:
    """Handlers for the operator's own session."""

    sessions: ConsoleSessions

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/v1/ops/me", self.me, operators(VIEWERS)),
            Route("POST", "/v1/console/session", self.redeem, ANYONE),
        ]

    async def me(self, request: web.Request) -> web.Response:
        """Return name and role of the operator."""
        operator = operator_of(request)
        return json_response(_Me(operator.name, operator.role))

    async def redeem(self, request: web.Request) -> web.Response:
        """Exchange the code of a console link for the token of a session."""
        check_origin(request)
        body = await body_of(request.clone(client_max_size=_MAX_BODY_BYTES), RedeemLink)
        token = self.sessions.redeem(body.code)
        if token is None:
            raise web.HTTPForbidden(text="this link is not valid or was used before")
        return json_response(_Session(token))
