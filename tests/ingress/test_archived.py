"""An archived conversation is read back, and holds are placed and released, through their handlers."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from trunkline_chassis.errors import BusUnavailableError
from trunkline_ingress.core.archived import ArchivedConversation
from trunkline_ingress.core.operators import Operator
from trunkline_ingress.core.trace import InboxEntry
from trunkline_ingress.handlers import access
from trunkline_ingress.handlers.ops.suite import SuiteOps
from trunkline_protocols import codec
from trunkline_protocols.archives import ArchivedRecord
from trunkline_protocols.holds import HoldMessage, HoldPlaced, HoldReleased
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.log import CommitStored
from trunkline_protocols.rules.holds import active_holds

from tests.ingress.conversation_simulator import C, simulate

SIMULATED = simulate(["message", "answer", "message", "answer"])
INBOX = [InboxEntry("inbox.local.1.cabc", seq, message) for seq, message in SIMULATED.inbox]


def records() -> list[ArchivedRecord]:
    """Return the whole conversation as an archive has it."""
    entries = [("INBOX", entry.sequence, codec.encode(entry.message)) for entry in INBOX]
    entries += [("CONVERSATIONS", each.sequence, codec.encode(each.commit)) for each in SIMULATED.commits]
    return [
        ArchivedRecord(leaf=leaf, stream=stream, sequence=seq, subject="inbox.local.1.cabc", at=1.0, payload=payload)
        for leaf, (stream, seq, payload) in enumerate(entries)
    ]


class Archive:
    """An archive that can fail."""

    def __init__(self, found: ArchivedConversation | None) -> None:
        self.found = found
        self.requests = 0

    async def read(self, _: ConversationId) -> ArchivedConversation:
        self.requests += 1
        if self.found is None:
            raise BusUnavailableError("the archive cannot be read")
        return self.found


class Streams:
    """Inbox, log and views."""

    def __init__(self, inbox: list[InboxEntry], commits: list[CommitStored]) -> None:
        self.inbox = inbox
        self.stored = commits

    async def messages(self, *_: object) -> list[InboxEntry]:
        return self.inbox

    async def desk_commands(self, *_: object) -> list[InboxEntry]:
        return []

    async def commits(self, *_: object, after: int) -> list[CommitStored]:
        return self.stored

    async def record(self, *_: object) -> None:
        pass


async def trace(streams: Streams, archive: Archive) -> dict[str, Any]:
    """Return the trace as operators get it."""
    ops = SuiteOps(SimpleNamespace(), streams, streams, archive, streams, "local")  # type: ignore[arg-type]
    request = make_mocked_request("GET", f"/v1/ops/trace/{C}", match_info={"conversation": C})
    request[access._OPERATOR] = Operator(name="Ada", role="lead")
    response = await ops.trace(request)
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    found: dict[str, Any] = json.loads(response.body)
    return found


async def test_trace_of_an_archived_conversation_is_that_of_before() -> None:
    """With its marker in the log, and later without; and it names the archive."""
    archive = Archive(ArchivedConversation(records(), ["20260102T030405Z"]))
    before = await trace(Streams(INBOX, SIMULATED.commits), archive)
    assert (before["archives"], archive.requests) == ([], 0)
    for left in (SIMULATED.commits[-1:], []):
        found = await trace(Streams([], left), archive)
        assert found["archives"] == ["20260102T030405Z"]
        assert found["steps"] == before["steps"]


async def test_unknown_conversation_is_not_found() -> None:
    """Once the archive does not have it either; if that cannot be read, nothing is claimed."""
    with pytest.raises(web.HTTPNotFound):
        await trace(Streams([], []), Archive(ArchivedConversation()))
    with pytest.raises(BusUnavailableError):
        await trace(Streams([], []), Archive(None))


def test_hold_without_a_release_is_active() -> None:
    """In whatever order their messages are read, and however often."""
    placed = [
        HoldPlaced(hold=f"h{number}", reason="case", placed_at=float(number), operator="Ada", role="lead", tenant="t")
        for number in range(3)
    ]
    released = HoldReleased(hold="h1", reason="over", released_at=9.0, operator="Ada", role="admin")
    messages: list[HoldMessage] = [released, *reversed(placed), *placed]
    assert [hold.hold for hold in active_holds(messages)] == ["h0", "h2"]
