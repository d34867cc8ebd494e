"""/v1/ops/customers: the known data about a customer, shown or deleted.

The customer is named in the body: an address would be in the logs of proxies.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta
from trunkline_protocols.customers import subject_of
from trunkline_protocols.frames import Token

from trunkline_ingress.core.customer_view import customer_view
from trunkline_ingress.core.operators import ADMINS, LEADS
from trunkline_ingress.handlers.access import Route, operators
from trunkline_ingress.handlers.http import body_of, json_response
from trunkline_ingress.ports import StoredCustomers

_MAX_ID_CHARACTERS: Final = 200


class CustomerBody(msgspec.Struct):
    """Body of both requests."""

    customer: Annotated[str, Meta(min_length=1, max_length=_MAX_ID_CHARACTERS)]
    tenant: Token = "default"


class Forgotten(msgspec.Struct, kw_only=True):
    """Reply to a deletion; false if there was nothing."""

    forgotten: bool


@dataclass(frozen=True, slots=True)
class CustomerOps:
    """Handlers for customers."""

    store: StoredCustomers

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("POST", "/v1/ops/customers/show", self.show, operators(LEADS)),
            Route("POST", "/v1/ops/customers/forget", self.forget, operators(ADMINS)),
        ]

    async def show(self, request: web.Request) -> web.Response:
        """Return the known data; 404 without any."""
        body = await body_of(request, CustomerBody)
        stored = await self.store.load(subject_of(body.tenant, body.customer))
        if not stored.exists:
            raise web.HTTPNotFound(text="nothing is known about this customer")
        return json_response(customer_view(body.tenant, body.customer, stored.known, now=time.time()))

    async def forget(self, request: web.Request) -> web.Response:
        """Delete the known data, also from the memory of all processes."""
        body = await body_of(request, CustomerBody)
        return json_response(Forgotten(forgotten=await self.store.forget(subject_of(body.tenant, body.customer))))
