"""Articles behind citations: for the customer of the citing conversation, with that customer's claims."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from trunkline_ingress.application.cited_articles import CitedArticles
from trunkline_ingress.core.identity import Identity
from trunkline_ingress.core.resume_tokens import sign, verify
from trunkline_ingress.handlers.articles import ArticleEndpoint
from trunkline_ingress.handlers.auth import Authenticator
from trunkline_protocols.citations import Citation
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.knowledge import Article, GetArticle
from trunkline_protocols.log import CommitStored, TurnAnswered

from tests.ingress.edge_server import Verifier
from tests.protocols.sample_parts import COMMIT
from tests.support.borders import ListedBorders

SECRET = b"s" * 32
ADA = Identity(
    conversation=ConversationId("c1"), customer="ada", tenant="default", region="local", channel="web", locale="de-AT"
)
CITED = msgspec.structs.replace(
    COMMIT,
    events=[
        msgspec.structs.replace(
            next(event for event in COMMIT.events if isinstance(event, TurnAnswered)),
            citations=[Citation(document="refunds", title="Refunds", quote="5 days", rev=7)],
        ),
        *(event for event in COMMIT.events if not isinstance(event, TurnAnswered)),
    ],
)


@dataclass
class Collaborators:
    """A log with one citing conversation, and a knowledge service that records the requests."""

    requests: list[GetArticle] = field(default_factory=list)
    internal: bool = False

    async def commits(self, region: str, conversation: ConversationId, *, after: int) -> list[CommitStored]:
        """Return the log of the conversation."""
        return [CommitStored(commit=CITED, sequence=1)] if conversation == ADA.conversation else []

    async def article(self, query: GetArticle) -> Article:
        """Return the article."""
        self.requests.append(query)
        return Article(document=query.document, title="Refunds", text="In 5 days.", rev=7, internal=self.internal)


def resume_token(identity: Identity = ADA, *, life_s: float = 60.0) -> dict[str, str]:
    """Return the header with a resume token."""
    return {"Trunkline-Resume-Token": sign(identity, SECRET, expires_at=time.time() + life_s)}


def access_token(name: str) -> dict[str, str]:
    """Return the header with an access token."""
    return {"Authorization": f"Bearer {name}"}


@pytest.fixture
def collaborators() -> Collaborators:
    """The collaborators of the endpoint."""
    return Collaborators()


@pytest.fixture(params=[True, False], ids=["authenticated", "open"])
async def url(request: pytest.FixtureRequest, collaborators: Collaborators) -> AsyncIterator[str]:
    """The address of an endpoint, with and without authentication."""
    endpoint = ArticleEndpoint(
        CitedArticles(collaborators, collaborators),  # type: ignore[arg-type]
        Authenticator(Verifier() if request.param else None),
        lambda token: verify(token, SECRET, now=time.time()),
        ListedBorders(),
    )
    app = web.Application()
    for route in endpoint.routes():
        app.router.add_route(route.method, route.path, route.handler)
    async with TestServer(app) as server:
        yield str(server.make_url("/v1/articles/"))


async def status(url: str, path: str, headers: dict[str, str]) -> int:
    """Return the status of a request."""
    async with aiohttp.ClientSession() as session, session.get(url + path, headers=headers) as response:
        return response.status


async def test_cited_article_is_read_with_the_claims_of_the_customer(url: str, collaborators: Collaborators) -> None:
    """Region and language of the conversation, and the specialties of the citing answer; never an internal one."""
    own = access_token("ada") | resume_token()
    assert await status(url, "refunds?rev=7", own) == 200
    assert await status(url, "refunds", own) == 200
    [cited, _] = collaborators.requests
    assert (cited.tenant, cited.region, cited.language, cited.internal) == ("default", "local", "de", False)
    assert cited.specialties == ["billing", "returns"]
    for path in ("refunds?rev=6", "warranty", "warranty?rev=7"):
        assert await status(url, path, own) == 404
    collaborators.internal = True
    assert await status(url, "refunds?rev=7", own) == 404


async def test_other_conversations_and_expired_tokens_are_refused(url: str, collaborators: Collaborators) -> None:
    """A forged, expired or foreign resume token opens nothing, with or without authentication."""
    other = msgspec.structs.replace(ADA, conversation=ConversationId("c2"))
    forged = {"Trunkline-Resume-Token": sign(ADA, b"x" * 32, expires_at=time.time() + 60)}
    for header, code in ((resume_token(other), 404), (resume_token(life_s=-1), 401), (forged, 401)):
        assert await status(url, "refunds?rev=7", access_token("ada") | header) == code
    assert not collaborators.requests


@pytest.mark.parametrize("url", [True], indirect=True, ids=["authenticated"])
async def test_both_tokens_must_belong_to_the_same_customer(url: str, collaborators: Collaborators) -> None:
    """Where authentication is on, a resume token alone is not enough, nor is an access token."""
    for headers, code in (
        (access_token("eve") | resume_token(), 403),
        (access_token("7") | resume_token(), 401),
        (resume_token(), 401),
        (access_token("ada"), 401),
        ({}, 401),
    ):
        assert await status(url, "refunds?rev=7", headers) == code
    assert not collaborators.requests


@pytest.mark.parametrize("url", [False], indirect=True, ids=["open"])
async def test_public_article_is_open_where_customers_are_anonymous(url: str, collaborators: Collaborators) -> None:
    """For the default tenant and the region of the suite."""
    assert await status(url, "warranty", {}) == 200
    [read] = collaborators.requests
    assert (read.tenant, read.region, read.internal) == ("default", "local", False)
    collaborators.internal = True
    assert await status(url, "warranty", {}) == 404
