"""Claims of customers that the fleet allows, kept for the agents when a conversation is opened."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog
from msgspec.structs import replace
from trunkline_chassis.errors import BusError, TextsErasedError
from trunkline_chassis.logs import reason_of
from trunkline_protocols.customers import subject_of

from trunkline_ingress.core.identity import Claims
from trunkline_ingress.ports import CurrentFleet, StoredCustomers

_log: Final = structlog.get_logger(__name__)
_TIMEOUT_S: Final = 1.0
"""Longest delay of the opening; after it, the conversation has the claims of the customer's last one."""


@dataclass(frozen=True, slots=True)
class CustomerClaims:
    """Keeps the allowed claims of an access token; one that the token no longer has is removed."""

    store: StoredCustomers
    fleet: CurrentFleet

    async def keep(self, claims: Claims | None) -> None:
        """Store the claims of the customer; without effect if the fleet allows none or authentication is off."""
        # The version of the conversation is not drawn yet; its agents see what their own version allows.
        allowed = {name for fleet in self.fleet.fleets.fleets for name in fleet.customers.claims}
        if claims is None or not allowed:
            return
        kept = {name: claims.further[name] for name in allowed if name in claims.further}
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self.store.update(
                    subject_of(claims.tenant, claims.sub), lambda stored: replace(stored.known, claims=kept)
                )
        except (BusError, TextsErasedError, TimeoutError) as error:
            _log.warning("customer.claims_not_kept", error=reason_of(error))
