"""Authorization of an identity against the claims of an access token."""

from __future__ import annotations

import msgspec
import pytest
from trunkline_ingress.core.identity import Claims, Identity, UnauthorizedError, authorize
from trunkline_protocols.ids import ConversationId

ADA = Identity(
    conversation=ConversationId("c1"), customer="ada", tenant="t", region="r", channel="web", locale="en", tier="gold"
)


def test_identity_is_unchanged_if_authentication_is_off() -> None:
    """There are no claims."""
    assert authorize(ADA, None) == ADA


def test_tier_comes_from_the_token() -> None:
    """A client cannot choose its tier."""
    assert authorize(ADA, Claims(sub="ada", tenant="t", region="r", tier="silver", exp=1.0)).tier == "silver"
    assert authorize(ADA, Claims(sub="ada", tenant="t", region="r", exp=1.0)).tier == ""


@pytest.mark.parametrize("field", ["customer", "tenant", "region"])
def test_other_identity_is_unauthorized(field: str) -> None:
    """Customer, tenant and region must be those of the token; the error names the field."""
    other = msgspec.structs.replace(ADA, **{field: "other"})
    with pytest.raises(UnauthorizedError, match=f"{field} .*, not 'other'"):
        authorize(other, Claims(sub="ada", tenant="t", region="r", exp=1.0))


def test_identity_is_verified_by_a_token_alone() -> None:
    """Also one that a resume token says was verified before."""
    assert authorize(ADA, Claims(sub="ada", tenant="t", region="r", exp=1.0)).verified
    assert not authorize(msgspec.structs.replace(ADA, verified=True), None).verified
