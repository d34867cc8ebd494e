"""An archived conversation is read back, and holds are placed and released, through their handlers."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from trunkline_chassis.customer_keys import DataKey
from trunkline_chassis.errors import BusUnavailableError, TextsErasedError
from trunkline_chassis.texts import Texts
from trunkline_ingress.adapters.nats.archives import NatsArchive
from trunkline_ingress.application.trace_reader import TraceReader
from trunkline_ingress.core.operators import Operator
from trunkline_ingress.core.trace import InboxEntry, ProvenRecords, RecordKey, ViewEntry
from trunkline_ingress.handlers import access
from trunkline_ingress.handlers.ops.suite import SuiteOps
from trunkline_protocols import codec
from trunkline_protocols.archives import ArchivedRecord, ArchivedRecords
from trunkline_protocols.customer_keys import hash_of
from trunkline_protocols.holds import HoldMessage, HoldPlaced, HoldReleased
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import CommitStored
from trunkline_protocols.rules.holds import active_holds
from trunkline_protocols.texts import ERASED, StoredTexts, encrypt_texts

from tests.ingress.conversation_simulator import C, simulate
from tests.support.borders import ListedBorders

SIMULATED = simulate(["message", "answer", "message", "answer"])
INBOX = [InboxEntry("inbox.local.1.cabc", seq, message) for seq, message in SIMULATED.inbox]


KEY = DataKey(hash_of("default", "ada"), b"k" * 32)


def records(*, encrypted: bool) -> list[ArchivedRecord]:
    """Return the whole conversation as an archive has it."""

    def stored(message: Any) -> bytes:
        is_text = encrypted and isinstance(message, StoredTexts)
        return codec.encode(encrypt_texts(message, KEY) if is_text else message)

    entries = [("INBOX", entry.sequence, stored(entry.message)) for entry in INBOX]
    entries += [("CONVERSATIONS", each.sequence, stored(each.commit)) for each in SIMULATED.commits]
    return [
        ArchivedRecord(leaf=leaf, stream=stream, sequence=seq, subject="inbox.local.1.cabc", at=1.0, payload=payload)
        for leaf, (stream, seq, payload) in enumerate(entries)
    ]


class Keys:
    """The keys of a customer who may be erased."""

    def __init__(self, *, erased: bool = False) -> None:
        self.erased = erased

    async def find(self, key: str) -> DataKey:
        if self.erased:
            raise TextsErasedError(key)
        return KEY


class Archive:
    """An audit service that can fail."""

    def __init__(self, found: list[ArchivedRecord] | None) -> None:
        self.found = found
        self.requests = 0

    async def request(self, *_: object, timeout_s: float) -> bytes:
        self.requests += 1
        if self.found is None:
            raise BusUnavailableError("the archive cannot be read")
        archives = ["20260102T030405Z"] if self.found else []
        return codec.encode(ArchivedRecords(conversation=C, records=self.found, archives=archives))


class Streams:
    """Inbox, log and views."""

    def __init__(self, inbox: list[InboxEntry], commits: list[CommitStored]) -> None:
        self.inbox = inbox
        self.log = commits

    async def messages(self, *_: object) -> list[InboxEntry]:
        return self.inbox

    async def desk_commands(self, *_: object) -> list[InboxEntry]:
        return []

    async def commits(self, *_: object, after: int) -> list[CommitStored]:
        return self.log

    async def record(self, *_: object) -> None:
        pass

    async def stored(self, *_: object) -> list[ViewEntry]:
        return []

    async def prove(self, *_: object) -> ProvenRecords:
        raise BusUnavailableError("audit is down")

    async def hashes(self, *_: object) -> dict[RecordKey, str]:
        return {}


async def trace(streams: Streams, archive: Archive, *, erased: bool = False) -> dict[str, Any]:
    """Return the trace as operators get it."""
    texts = Texts(Keys(erased=erased))  # type: ignore[arg-type]
    adapter = NatsArchive(archive, "local", texts)  # type: ignore[arg-type]
    ops = SuiteOps(SimpleNamespace(), TraceReader(streams, streams, adapter, streams, streams, ListedBorders()))  # type: ignore[arg-type]
    request = make_mocked_request("GET", f"/v1/ops/trace/{C}", match_info={"conversation": C})
    request[access._OPERATOR] = Operator(name="Ada", role="lead")
    response = await ops.trace(request)
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    found: dict[str, Any] = json.loads(response.body)
    return found


@pytest.mark.parametrize("encrypted", [False, True])
async def test_trace_of_an_archived_conversation_is_that_of_before(*, encrypted: bool) -> None:
    """With its marker in the log, and later without; and it names the archive."""
    archive = Archive(records(encrypted=encrypted))
    before = await trace(Streams(INBOX, SIMULATED.commits), archive)
    assert (before["archives"], archive.requests) == ([], 0)
    for left in (SIMULATED.commits[-1:], []):
        found = await trace(Streams([], left), archive)
        assert found["archives"] == ["20260102T030405Z"]
        assert json.dumps(found["steps"]) == json.dumps(before["steps"])


async def test_erased_customer_has_no_texts_in_the_archive() -> None:
    """The conversation is still shown."""
    found = await trace(Streams([], []), Archive(records(encrypted=True)), erased=True)
    assert ERASED in json.dumps(found["steps"])
    said = [entry.message.text for entry in INBOX if isinstance(entry.message, TurnReceived)]
    assert said
    assert not [text for text in said if json.dumps(text) in json.dumps(found["steps"])]


async def test_unknown_conversation_is_not_found() -> None:
    """Once the archive does not have it either; if that cannot be read, nothing is claimed."""
    with pytest.raises(web.HTTPNotFound):
        await trace(Streams([], []), Archive([]))
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
