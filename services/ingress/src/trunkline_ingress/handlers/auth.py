"""Authentication of customers by JSON Web Tokens."""

from __future__ import annotations

import jwt
from aiohttp import web
from trunkline_protocols import codec

from trunkline_ingress.core.identity import Claims
from trunkline_ingress.handlers.http import bearer_of, check_origin


class Authenticator:
    """Validates customers' tokens. Without a secret every caller is accepted, and only loopback is served."""

    def __init__(self, *, secret: str | None) -> None:
        """`secret` signs customers' tokens (HS256)."""
        self._secret = secret

    def claims(self, request: web.Request) -> Claims | None:
        """Return the claims of the customer's token, None if authentication is off.

        Raises `HTTPUnauthorized` or `HTTPForbidden`.
        """
        check_origin(request)
        if self._secret is None:
            return None
        token = request.query.get("token") or bearer_of(request)
        try:
            payload = jwt.decode(token or "", self._secret, algorithms=["HS256"], options={"require": ["sub"]})
            return codec.convert(payload, Claims)
        except (jwt.InvalidTokenError, codec.ValidationError) as error:
            raise web.HTTPUnauthorized(text=f"invalid access token: {error}") from error
