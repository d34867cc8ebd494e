"""/v1/ops/customers: the known data about a customer, shown or deleted; all data exported, or erased.

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
from trunkline_protocols.ids import ConversationId

from trunkline_ingress.application.customer_exporter import CustomerExporter
from trunkline_ingress.application.view_recording import record_views
from trunkline_ingress.core.customer_export import CustomerExport, exported_conversations
from trunkline_ingress.core.customer_view import CustomerView, customer_view
from trunkline_ingress.core.operators import ADMINS, LEADS
from trunkline_ingress.handlers.access import Route, operator_of, operators
from trunkline_ingress.handlers.http import body_of, json_response
from trunkline_ingress.operator_ports import Erasures, ViewRecords, WrappedKeys
from trunkline_ingress.ports import StoredCustomers

_MAX_ID_CHARACTERS: Final = 200


class CustomerBody(msgspec.Struct):
    """Body of both requests."""

    customer: Annotated[str, Meta(min_length=1, max_length=_MAX_ID_CHARACTERS)]
    tenant: Token = "default"


class Forgotten(msgspec.Struct, kw_only=True):
    """Reply to a deletion; false if there was nothing."""

    forgotten: bool


class Rewrapped(msgspec.Struct, kw_only=True):
    """Reply to a change of the wrapping key: the number of keys that were encrypted again."""

    keys: int


@dataclass(frozen=True, slots=True)
class CustomerOps:
    """Handlers for customers."""

    store: StoredCustomers
    erasures: Erasures
    exporter: CustomerExporter
    keys: WrappedKeys | None
    """None if this process has no key file."""
    views: ViewRecords
    region: str

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("POST", "/v1/ops/customers/show", self.show, operators(LEADS)),
            Route("POST", "/v1/ops/customers/forget", self.forget, operators(ADMINS)),
            Route("POST", "/v1/ops/customers/export", self.export, operators(ADMINS)),
            Route("POST", "/v1/ops/customers/erase", self.erase, operators(ADMINS)),
            Route("POST", "/v1/ops/keys/rewrap", self.rewrap, operators(ADMINS)),
        ]

    async def show(self, request: web.Request) -> web.Response:
        """Return the known data; 404 without any."""
        known = await self._known(await body_of(request, CustomerBody))
        if known is None:
            raise web.HTTPNotFound(text="nothing is known about this customer")
        if known.earlier and known.conversation:
            shown = [(self.region, ConversationId(known.conversation))]
            await record_views(self.views, shown, "customer", operator_of(request))
        return json_response(known)

    async def forget(self, request: web.Request) -> web.Response:
        """Delete the known data, also from the memory of all processes."""
        body = await body_of(request, CustomerBody)
        return json_response(Forgotten(forgotten=await self.store.forget(subject_of(body.tenant, body.customer))))

    async def export(self, request: web.Request) -> web.Response:
        """Return everything that is stored of the customer; 404 if there is nothing."""
        body = await body_of(request, CustomerBody)
        known = await self._known(body)
        found = await self.exporter.read(body.tenant, body.customer)
        if known is None and not found.commits:
            raise web.HTTPNotFound(text="nothing is stored of this customer")
        named = dict.fromkeys(each.commit.conversation for each in found.commits)
        await record_views(self.views, [(self.region, each) for each in named], "export", operator_of(request))
        exported = CustomerExport(
            customer=body.customer,
            tenant=body.tenant,
            region=self.region,
            exported_at=time.time(),
            known=known,
            conversations=exported_conversations(found.commits, found.ratings),
            source=found.source,
            note=found.note,
        )
        return json_response(exported)

    async def erase(self, request: web.Request) -> web.Response:
        """Destroy the customer's key, with which all encrypted texts are unreadable; 404 without a key."""
        body = await body_of(request, CustomerBody)
        operator = operator_of(request)
        receipt = await self.erasures.erase(body.tenant, body.customer, operator=operator.name or operator.role)
        if receipt is None:
            raise web.HTTPNotFound(text="this customer has no key: nothing is encrypted, or it is erased already")
        return json_response(receipt)

    async def rewrap(self, _: web.Request) -> web.Response:
        """Encrypt all keys with the first wrapping key of the key file."""
        if self.keys is None:
            raise web.HTTPConflict(text="this suite has no key file (TRUNKLINE_KEY_FILE)")
        return json_response(Rewrapped(keys=await self.keys.rewrap()))

    async def _known(self, body: CustomerBody) -> CustomerView | None:
        stored = await self.store.load(subject_of(body.tenant, body.customer))
        return customer_view(body.tenant, body.customer, stored.known, now=time.time()) if stored.exists else None
