"""/v1/ops/customers: the known data about a customer, shown or deleted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import msgspec
from aiohttp import web
from trunkline_protocols.customers import subject_of
from trunkline_protocols.ids import InvalidIdError, token

from trunkline_ingress.core.customer_view import customer_view
from trunkline_ingress.core.operators import ADMINS, LEADS
from trunkline_ingress.handlers.access import Route, operators
from trunkline_ingress.handlers.http import json_response
from trunkline_ingress.ports import StoredCustomers

_MAX_ID_CHARACTERS: Final = 200


class Forgotten(msgspec.Struct, kw_only=True):
    """Reply to a deletion; false if there was nothing."""

    forgotten: bool


@dataclass(frozen=True, slots=True)
class CustomerOps:
    """Handlers for customers, who are named by `?customer=` and `?tenant=`."""

    store: StoredCustomers

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/v1/ops/customers", self.show, operators(LEADS)),
            Route("DELETE", "/v1/ops/customers", self.forget, operators(ADMINS)),
        ]

    async def show(self, request: web.Request) -> web.Response:
        """Return the known data; 404 without any."""
        tenant, customer = _customer_of(request)
        stored = await self.store.load(subject_of(tenant, customer))
        if not stored.exists:
            raise web.HTTPNotFound(text="nothing is known about this customer")
        return json_response(customer_view(tenant, customer, stored.known, now=time.time()))

    async def forget(self, request: web.Request) -> web.Response:
        """Delete the known data, also from the memory of all processes."""
        tenant, customer = _customer_of(request)
        return json_response(Forgotten(forgotten=await self.store.forget(subject_of(tenant, customer))))


def _customer_of(request: web.Request) -> tuple[str, str]:
    customer = request.query.get("customer", "")
    if not 0 < len(customer) <= _MAX_ID_CHARACTERS:
        raise web.HTTPBadRequest(text=f"customer: 1 to {_MAX_ID_CHARACTERS} characters")
    try:
        return token(request.query.get("tenant", "default"), "tenant"), customer
    except InvalidIdError as error:
        raise web.HTTPBadRequest(text=str(error)) from error
