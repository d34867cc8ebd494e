"""Who may talk: JSON Web Tokens for customers, a bearer token for operators, same origin for browsers."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

import jwt
import msgspec
from aiohttp import web

from trunkline_ingress.core.tokens import Identity

OPERATORS: Final = "/v1/ops/"


class UnauthorizedError(Exception):
    """The caller may not do this."""


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer's token says."""

    sub: str
    tenant: str = "default"
    region: str = "local"
    tier: str = ""


class Authenticator:
    """Checks tokens. Without a secret everybody is let in, and only loopback is served."""

    def __init__(self, *, secret: str | None, operator_token: str | None) -> None:
        """`secret` signs customers' tokens (HS256)."""
        self._secret = secret
        self._operator_token = operator_token

    def claims(self, request: web.Request) -> Claims | None:
        """Read the customer's token; None when none is needed. Raises the HTTP error of the case."""
        refuse_foreign_origin(request)
        if self._secret is None:
            return None
        token = request.query.get("token") or _bearer(request)
        try:
            payload = jwt.decode(token or "", self._secret, algorithms=["HS256"], options={"require": ["sub"]})
            return msgspec.convert(payload, Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError) as error:
            raise web.HTTPUnauthorized(text=f"a valid token is needed: {error}") from error

    def identify(self, identity: Identity, claims: Claims | None) -> Identity:
        """Make sure that an identity is the token's; raise `UnauthorizedError` when it is somebody else's."""
        if claims is None:
            return identity
        for name, said, proven in (
            ("customer", identity.customer, claims.sub),
            ("tenant", identity.tenant, claims.tenant),
            ("region", identity.region, claims.region),
        ):
            if said != proven:
                raise UnauthorizedError(f"the token is for {name} {proven!r}, not {said!r}")
        return msgspec.structs.replace(identity, tier=claims.tier)

    @web.middleware
    async def operators_only(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Keep everybody else out of the operators' API."""
        if request.path.startswith(OPERATORS):
            self.require_operator(request)
        return await handler(request)

    def require_operator(self, request: web.Request) -> None:
        """Let operators in only; where auth is off, everybody on this machine is one."""
        refuse_foreign_origin(request)
        if self._secret is None and self._operator_token is None:
            return
        expected = self._operator_token
        if expected is None or not hmac.compare_digest(_bearer(request) or "", expected):
            raise web.HTTPUnauthorized(text="an operator's bearer token is needed")


def refuse_foreign_origin(request: web.Request) -> None:
    """Keep pages of other sites out: a browser sends the page's origin along."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise web.HTTPForbidden(text="requests from other origins are not served")


def _bearer(request: web.Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else None
