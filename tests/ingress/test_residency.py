"""Borders of the ingress: tokens, sessions, cases at the desk and keys of operators of another region."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from trunkline_ingress.adapters.operator_keys import OperatorKeyFile
from trunkline_ingress.application.session import SessionPorts
from trunkline_ingress.application.session_opener import SessionOpener, UnknownConversationError, UnknownRegionError
from trunkline_ingress.application.session_registry import SessionRegistry
from trunkline_ingress.core.identity import Claims, Identity, UnauthorizedError
from trunkline_ingress.core.operators import READERS
from trunkline_ingress.core.resume_tokens import sign
from trunkline_ingress.handlers.access import AccessControl, Route, operators
from trunkline_ingress.handlers.ops.desk import DeskOps
from trunkline_protocols.escalation import Escalation, EscalationWaiting
from trunkline_protocols.frames import Resume, Start
from trunkline_protocols.ids import ConversationId, Instance

from tests.ingress.test_resume import EmptyQueue, FakeStreams, NoNotices
from tests.support.borders import ListedBorders

SECRET = b"s" * 32


@dataclass(frozen=True)
class Edge:
    """The opener of one region."""

    borders: ListedBorders
    opener: SessionOpener


@pytest.fixture
def edge() -> Edge:
    """An ingress of region eu."""
    streams, borders = FakeStreams(), ListedBorders("eu")
    opener = SessionOpener(
        instance=Instance("ingress-1"),
        borders=borders,
        ports=SessionPorts(inbox=streams, log=streams, presence=streams, canceller=streams),
        sessions=SessionRegistry(NoNotices(), EmptyQueue()),
        resume_secret=SECRET,
        resume_ttl_s=60.0,
        max_queued_frames=16,
    )
    return Edge(borders, opener)


async def send(_: bytes) -> None:
    """Drop a frame."""


def claims(region: str) -> Claims:
    """Return the claims of a token of a region."""
    return Claims(sub="ada", exp=time.time() + 60, region=region)


def test_start_of_another_region_is_refused_and_recorded(edge: Edge) -> None:
    """By the frame, by the token, and by both."""
    with pytest.raises(UnknownRegionError):
        edge.opener.start(Start(customer="ada", region="us"), None, send)
    with pytest.raises(UnauthorizedError):
        edge.opener.start(Start(customer="ada"), claims("us"), send)
    with pytest.raises(UnknownRegionError):
        edge.opener.start(Start(customer="ada", region="us"), claims("us"), send)
    assert edge.borders.refused == [("session", "us", "eu")] * 3
    edge.opener.start(Start(customer="ada"), claims("eu"), send)
    assert len(edge.borders.refused) == 3


async def test_resume_of_another_region_does_not_say_that_the_conversation_exists(edge: Edge) -> None:
    """As for a conversation that is unknown."""
    identity = Identity(
        conversation=ConversationId("c1"), customer="ada", tenant="default", region="us", channel="web", locale="en"
    )
    token = sign(identity, SECRET, expires_at=time.time() + 60)
    with pytest.raises(UnknownConversationError):
        await edge.opener.resume(Resume(conversation="c1", resume_token=token, last_seq=1), None, send)
    assert edge.borders.refused == [("session", "us", "eu")]


def test_claims_of_another_region_are_not_kept(edge: Edge) -> None:
    """They are data of the customer too; without authentication there are none."""
    assert [edge.opener.is_home_of(each) for each in (claims("eu"), claims("us"), None)] == [True, False, True]


async def test_case_of_another_region_is_neither_listed_nor_shown_nor_claimed() -> None:
    """Even if the bucket of the queue has it."""
    escalation = Escalation(level="person", urgency="low", reason="r", summary="s", since=1.0, due_at=2.0)
    entry = EscalationWaiting(
        conversation=ConversationId("c1"), region="us", tenant="default", customer="zoe", escalation=escalation
    )
    borders, queue = ListedBorders("eu"), SimpleNamespace(values={"c1": entry})
    desk = DeskOps(None, None, None, queue, None, None, borders)  # type: ignore[arg-type]
    assert await desk._entries() == []
    request = make_mocked_request("GET", "/v1/ops/desk/c1", match_info={"conversation": "c1"})
    with pytest.raises(web.HTTPNotFound):
        await desk.show(request)
    assert borders.refused == [("console", "us", "eu")]
    own = msgspec.structs.replace(entry, region="eu")
    queue.values = {"c1": own}
    assert [each.conversation for each in await desk._entries()] == ["c1"]


async def test_key_of_another_region_opens_no_route(tmp_path: Path) -> None:
    """A key with `regions` counts in their suites only; one without them everywhere."""
    file = tmp_path / "operators.toml"
    regions = {"us": 'regions = ["us"]', "both": 'regions = ["us", "eu"]', "any": ""}
    lines = [
        line
        for key, line_of_regions in regions.items()
        for line in (
            "[[operator]]",
            f'name = "{key}"',
            'role = "lead"',
            f'sha256 = "{hashlib.sha256(key.encode()).hexdigest()}"',
            line_of_regions,
        )
    ]
    file.write_text("\n".join(lines))
    file.chmod(0o600)
    borders = ListedBorders("eu")
    access = AccessControl(OperatorKeyFile(file), is_single_machine=False, rules={}, borders=borders)

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="secret")

    app = web.Application(middlewares=[access.enforce])
    access.add_routes(app, [Route("GET", "/v1/ops/desk", page, operators(READERS))])
    async with TestClient(TestServer(app)) as client:
        statuses = [
            (await client.get("/v1/ops/desk", headers={"Authorization": f"Bearer {key}"})).status for key in regions
        ]
    assert statuses == [403, 200, 200]
    assert borders.refused == [("console", "eu", "us")]
