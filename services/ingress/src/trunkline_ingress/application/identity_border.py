"""The check of an identity at the border of a region, and against the access token."""

from __future__ import annotations

from trunkline_chassis.residency import BorderGuard

from trunkline_ingress.core.identity import Claims, Identity, authorize


def admitted(identity: Identity, claims: Claims | None, borders: BorderGuard) -> Identity | None:
    """Return the identity that a token grants, None if it, or the token, is of another region.

    The regions are checked first, so that a refused token is counted too. Raises `UnauthorizedError` if the identity
    does not match the token.
    """
    regions = {identity.region} if claims is None else {identity.region, claims.region}
    passages = [
        borders.admits(
            "session",
            data=region,
            conversation=identity.conversation,
            customer=(identity.tenant, identity.customer),
        )
        for region in sorted(regions)
    ]
    granted = authorize(identity, claims)
    return granted if all(passages) else None
