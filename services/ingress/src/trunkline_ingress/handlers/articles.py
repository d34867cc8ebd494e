"""`GET /v1/articles/{document}`: the article behind a citation, for the customer of the citing conversation.

The conversation is named by its resume token in the header `Trunkline-Resume-Token`. Where authentication is on, this
header is required, and the access token must belong to the same customer; where it is off, a request without the header
gets what any customer of the default tenant may see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
from aiohttp import web
from trunkline_chassis.residency import BorderGuard

from trunkline_ingress.application.cited_articles import CitedArticles
from trunkline_ingress.application.identity_border import admitted
from trunkline_ingress.core.identity import Claims, Identity, UnauthorizedError
from trunkline_ingress.handlers.access import CUSTOMER, Route
from trunkline_ingress.handlers.auth import Authenticator
from trunkline_ingress.handlers.http import json_response, token_of

RESUME_TOKEN: Final = "Trunkline-Resume-Token"  # noqa: S105 - the name of a header
_MAX_REV_DIGITS: Final = 18


class _ArticleReply(msgspec.Struct):
    document: str
    title: str
    text: str
    rev: int
    is_latest: bool


@dataclass(frozen=True, slots=True)
class ArticleEndpoint:
    """Serves articles behind citations."""

    articles: CitedArticles
    authenticator: Authenticator
    identity_of: Callable[[str], Identity | None]
    """Returns the identity in a resume token, None if the token is not valid now."""
    borders: BorderGuard

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("GET", "/v1/articles/{document}", self.article, CUSTOMER)]

    async def article(self, request: web.Request) -> web.Response:
        """Return the article of a citation in the quoted version; one that the customer may not see is not found."""
        claims = await self.authenticator.request_claims(request)
        resume_token = request.headers.get(RESUME_TOKEN)
        document, rev = token_of(request, "document"), _rev_of(request)
        if claims is None and resume_token is None:
            found = await self.articles.read_public(document, rev, self.borders.region)
        else:
            identity = self._identity(resume_token or "", claims)
            found = await self.articles.read(identity, document, rev) if identity is not None else None
        if found is None:
            raise web.HTTPNotFound(text="article not found")
        return json_response(
            _ArticleReply(
                document=found.document,
                title=found.title,
                text=found.text,
                rev=found.rev,
                is_latest=found.is_latest,
            )
        )

    def _identity(self, resume_token: str, claims: Claims | None) -> Identity | None:
        identity = self.identity_of(resume_token)
        if identity is None:
            raise web.HTTPUnauthorized(text=f"a valid resume token is required in {RESUME_TOKEN}")
        try:
            return admitted(identity, claims, self.borders)
        except UnauthorizedError as error:
            raise web.HTTPForbidden(text="the resume token belongs to another customer") from error


def _rev_of(request: web.Request) -> int:
    rev = request.query.get("rev", "0")
    return int(rev) if rev.isascii() and rev.isdecimal() and len(rev) <= _MAX_REV_DIGITS else 0
