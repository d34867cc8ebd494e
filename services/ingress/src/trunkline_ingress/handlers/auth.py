"""Authentication of customers: the access token of the handshake, or of a `start` or `resume` frame."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from trunkline_ingress.core.identity import Claims, UnauthorizedError
from trunkline_ingress.handlers.http import bearer_of, check_origin
from trunkline_ingress.ports import TokenVerifier


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Checks customers' tokens. Without a verifier every caller is accepted, and only loopback is served."""

    verifier: TokenVerifier | None
    allow_query_token: bool = False
    """If true, `?token=` is accepted; addresses end up in the logs of proxies."""

    async def handshake_claims(self, request: web.Request) -> Claims | None:
        """Return the claims of the request's token, None without one or if authentication is off.

        Raises `HTTPUnauthorized` or `HTTPForbidden`.
        """
        check_origin(request)
        if self.verifier is None:
            return None
        in_address = request.query.get("token")
        if in_address is not None and not self.allow_query_token:
            raise web.HTTPUnauthorized(text="a token in the address is not accepted, send it in the first frame")
        token = bearer_of(request) or in_address
        if token is None:
            return None
        try:
            return await self.verifier.verify(token)
        except UnauthorizedError as error:
            raise web.HTTPUnauthorized(text=str(error)) from error

    async def request_claims(self, request: web.Request) -> Claims | None:
        """Return the claims of the request's token, None if authentication is off.

        Raises `HTTPUnauthorized`, also without a token, or `HTTPForbidden`.
        """
        claims = await self.handshake_claims(request)
        if claims is None and self.verifier is not None:
            raise web.HTTPUnauthorized(text="an access token is required")
        return claims

    async def frame_claims(self, token: str, handshake: Claims | None) -> Claims | None:
        """Return the claims of a frame's token, else those of the handshake; None if authentication is off.

        Raises `UnauthorizedError`.
        """
        if self.verifier is None:
            return None
        if token:
            return await self.verifier.verify(token)
        if handshake is None:
            raise UnauthorizedError("an access token is required")
        return handshake
