"""Claims that the fleet allows are kept for the agents; others and old ones are not."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import msgspec
import pytest
from trunkline_chassis.bus import Bus
from trunkline_chassis.customer_bucket import CustomerBucket
from trunkline_chassis.fleet_store import FleetVersion
from trunkline_chassis.served_fleets import ServedFleets
from trunkline_ingress.application.customer_claims import CustomerClaims
from trunkline_ingress.core.identity import Claims
from trunkline_protocols.context import Fact
from trunkline_protocols.customers import CustomerKnown, subject_of
from trunkline_protocols.fleet import CustomerPolicy, Fleet, FleetPublished

from tests.protocols.sample_parts import AGENT, COMPANY


@dataclass
class Current:
    """A fleet that allows claims."""

    fleet: Fleet

    @property
    def fleets(self) -> ServedFleets:
        published = FleetPublished(fleet=self.fleet, published_at=0.0, published_by="test", origin="start")
        return ServedFleets(FleetVersion(1, published))


def current(*names: str) -> Current:
    return Current(Fleet(company=COMPANY, agents=[AGENT], customers=CustomerPolicy(claims=list(names))))


@pytest.fixture
def claims() -> Claims:
    """Claims of a customer of its own."""
    customer = f"ada-{secrets.token_hex(6)}"
    return Claims(sub=customer, exp=1.0, further={"company": "Acme", "salary": "100000"})


async def test_allowed_claims_are_kept_and_removed_with_the_token(bus: Bus, claims: Claims) -> None:
    """Beside the facts, which stay."""
    bucket, key = CustomerBucket(bus), subject_of("default", claims.sub)
    facts = [Fact(name="plan", value="Plus", read_at=1.0)]
    await bucket.replace(key, CustomerKnown(facts=facts), 0)
    kept = CustomerClaims(bucket, current("company", "seats"))
    await kept.keep(claims)
    assert (await bucket.load(key)).known == CustomerKnown(facts=facts, claims={"company": "Acme"})
    revision = (await bucket.load(key)).revision
    await kept.keep(claims)
    assert (await bucket.load(key)).revision == revision
    await kept.keep(msgspec.structs.replace(claims, further={}))
    assert (await bucket.load(key)).known == CustomerKnown(facts=facts)


async def test_nothing_is_kept_without_a_token_or_an_allowed_claim(bus: Bus, claims: Claims) -> None:
    """By default no fleet has a claim."""
    bucket, key = CustomerBucket(bus), subject_of("default", claims.sub)
    await CustomerClaims(bucket, current()).keep(claims)
    await CustomerClaims(bucket, current("company")).keep(None)
    assert (await bucket.load(key)).revision == 0
