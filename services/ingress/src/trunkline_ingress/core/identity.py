"""Identity of a conversation's customer, and its check against the claims of an access token."""

from __future__ import annotations

import msgspec
from trunkline_protocols.frames import Name, OptionalToken, Token
from trunkline_protocols.ids import ConversationId


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a conversation that the ingress needs to accept its messages."""

    conversation: ConversationId
    customer: str
    tenant: str
    region: str
    channel: str
    locale: str
    tier: str = ""
    verified: bool = False
    """Whether customer, tenant, region and tier are those of a verified access token."""


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """Claims of a customer's access token; `exp` in Unix seconds."""

    sub: Name
    exp: float
    tenant: Token = "default"
    region: Token = "local"
    tier: OptionalToken = ""
    further: dict[str, str] = {}
    """Further claims with a short value; the fleet names those that agents may use."""


class UnauthorizedError(Exception):
    """The caller's credentials do not permit the request."""


def authorize(identity: Identity, claims: Claims | None) -> Identity:
    """Return the identity with the token's tier; without claims (authentication is off) it is not verified.

    Raises `UnauthorizedError` if customer, tenant or region differ from the token's.
    """
    if claims is None:
        return msgspec.structs.replace(identity, verified=False)
    for name, requested, granted in (
        ("customer", identity.customer, claims.sub),
        ("tenant", identity.tenant, claims.tenant),
        ("region", identity.region, claims.region),
    ):
        if requested != granted:
            raise UnauthorizedError(f"the token is for {name} {granted!r}, not {requested!r}")
    return msgspec.structs.replace(identity, tier=claims.tier, verified=True)
