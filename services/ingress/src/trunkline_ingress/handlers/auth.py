"""Authentication: JSON Web Tokens for customers, a bearer token for operators, same-origin checks for browsers."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

import jwt
from aiohttp import web
from trunkline_protocols import codec

from trunkline_ingress.core.identity import Claims

_OPERATOR_PATH: Final = "/v1/ops/"


class Authenticator:
    """Validates tokens. Without a secret every caller is accepted, and only loopback is served."""

    def __init__(self, *, secret: str | None, operator_token: str | None) -> None:
        """`secret` signs customers' tokens (HS256)."""
        self._secret = secret
        self._operator_token = operator_token

    def claims(self, request: web.Request) -> Claims | None:
        """Return the claims of the customer's token, None if authentication is off.

        Raises `HTTPUnauthorized` or `HTTPForbidden`.
        """
        check_origin(request)
        if self._secret is None:
            return None
        token = request.query.get("token") or _bearer(request)
        try:
            payload = jwt.decode(token or "", self._secret, algorithms=["HS256"], options={"require": ["sub"]})
            return codec.convert(payload, Claims)
        except (jwt.InvalidTokenError, codec.ValidationError) as error:
            raise web.HTTPUnauthorized(text=f"invalid access token: {error}") from error

    @web.middleware
    async def operators_only(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Restrict the operators' API to operators."""
        if request.path.startswith(_OPERATOR_PATH):
            self.require_operator(request)
        return await handler(request)

    def require_operator(self, request: web.Request) -> None:
        """Raise `HTTPUnauthorized` unless the caller is an operator; if authentication is off, every caller is."""
        check_origin(request)
        if self._secret is None and self._operator_token is None:
            return
        expected = self._operator_token
        if expected is None or not hmac.compare_digest(_bearer(request) or "", expected):
            raise web.HTTPUnauthorized(text="operator token required")


def check_origin(request: web.Request) -> None:
    """Raise `HTTPForbidden` if a browser sends the request from a page of another origin."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise web.HTTPForbidden(text="cross-origin requests are not allowed")


def _bearer(request: web.Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else None
