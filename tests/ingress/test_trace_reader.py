"""A trace has all records of the conversation, and proves that they are those of the audit trail."""

from __future__ import annotations

from msgspec.structs import replace
from trunkline_chassis.errors import BusUnavailableError
from trunkline_ingress.application.trace_reader import TraceReader
from trunkline_ingress.core.archived import ArchivedConversation
from trunkline_ingress.core.operators import Operator
from trunkline_ingress.core.trace import InboxEntry, ProvenRecords, RecordKey, Trace, ViewEntry
from trunkline_protocols.archives import ProvenRecord, SignedHead
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import CommitStored
from trunkline_protocols.views import ConversationViewed

from tests.ingress.conversation_simulator import C, simulate
from tests.support.borders import ListedBorders

SIMULATED = simulate(["message", "answer", "rate"])
INBOX = [InboxEntry("inbox.local.1.cabc", sequence, message) for sequence, message in SIMULATED.inbox]
COMMITS = SIMULATED.commits
VIEWED = ConversationViewed(conversation=C, view="trace", operator="Ada", role="lead", at=99.0)
HEAD = SignedHead(log="local", size=9, root="00", at=1_767_225_600_000_000, key="0123456789", signature="ff")
KEYS = [
    *(RecordKey("INBOX", entry.sequence) for entry in INBOX),
    *(RecordKey("CONVERSATIONS", stored.sequence) for stored in COMMITS),
    RecordKey("VIEWS", 1),
]
HASHES = {key: f"hash of {key.stream} {key.sequence}" for key in KEYS}


class Suite:
    """Streams of a conversation, its audit trail and its archive."""

    def __init__(self) -> None:
        self.inbox = INBOX
        self.stored_commits = COMMITS
        self.borders = ListedBorders()
        self.views_error: Exception | None = None
        self.audit_error: Exception | None = None
        self.hashes_error: Exception | None = None
        self.stream_hashes = dict(HASHES)
        self.recorded: list[str] = []
        self.whole_reads = 0
        self.dead_letters = [ProvenRecord(leaf=99, stream="DEAD_LETTERS", sequence=1, sha256="0")]

    async def messages(self, *_: object) -> list[InboxEntry]:
        return self.inbox

    async def desk_commands(self, *_: object) -> list[InboxEntry]:
        return []

    async def commits(self, *_: object, after: int) -> list[CommitStored]:
        return [stored for stored in self.stored_commits if stored.sequence > after]

    async def record(self, _region: str, _conversation: str, _view: str, operator: Operator) -> None:
        self.recorded.append(operator.name)

    async def stored(self, *_: object) -> list[ViewEntry]:
        if self.views_error is not None:
            raise self.views_error
        return [ViewEntry("view.local.1.cabc", 1, VIEWED)] if self.recorded else []

    async def prove(self, *_: object) -> ProvenRecords:
        if self.audit_error is not None:
            raise self.audit_error
        records = [
            ProvenRecord(leaf=leaf, stream=key.stream, sequence=key.sequence, sha256=HASHES[key])
            for leaf, key in enumerate(KEYS)
        ]
        return ProvenRecords(HEAD, [*records, *self.dead_letters], ())

    async def hashes(self, *_: object) -> dict[RecordKey, str]:
        if self.hashes_error is not None:
            raise self.hashes_error
        return self.stream_hashes

    async def read(self, *_: object, whole: bool = False) -> ArchivedConversation:
        assert whole
        self.whole_reads += 1
        return ArchivedConversation(INBOX, COMMITS, [], [], HASHES)

    async def find(self) -> Trace | None:
        """Return the trace as an operator gets it, None if nothing is found."""
        reader = TraceReader(self, self, self, self, self, self.borders)  # type: ignore[arg-type]
        return await reader.read(C, Operator(name="Ada", role="lead"))

    async def trace(self) -> Trace:
        """Return the trace that exists."""
        trace = await self.find()
        assert trace is not None
        return trace


async def test_every_step_is_proven_the_look_itself_too() -> None:
    """Without a second request if the streams have everything."""
    suite = Suite()
    trace = await suite.trace()
    assert trace.proof is not None
    assert (trace.proof.records, trace.proof.proven, trace.proof.faults) == (len(KEYS), len(KEYS), [])
    assert {step.leaf for step in trace.steps} == set(range(len(KEYS)))
    assert trace.steps[-1].type == "conversation.viewed"
    assert suite.whole_reads == 0


async def test_records_that_a_stream_has_lost_by_age_come_from_audit() -> None:
    """The inbox keeps a week."""
    suite = Suite()
    before = await suite.trace()
    suite.inbox = []
    suite.stream_hashes = {key: value for key, value in HASHES.items() if key.stream != "INBOX"}
    assert await suite.trace() == before
    assert suite.whole_reads == 1


async def test_message_that_was_changed_in_its_stream_is_a_fault() -> None:
    """It is shown, and not proven."""
    suite = Suite()
    changed = RecordKey("INBOX", INBOX[0].sequence)
    suite.stream_hashes[changed] = "another"
    trace = await suite.trace()
    assert trace.proof is not None
    assert (trace.proof.proven, len(trace.proof.faults)) == (len(KEYS) - 1, 1)
    assert [step.leaf for step in trace.steps if (step.stream, step.sequence) == changed] == [None]


async def test_trace_without_audit_says_that_nothing_is_proven() -> None:
    suite = Suite()
    proven = await suite.trace()
    suite.audit_error = BusUnavailableError("the audit trail cannot be read: PostgreSQL is away")
    trace = await suite.trace()
    assert trace.proof is not None
    assert trace.proof.summary == "Records not proven: the audit trail cannot be read: PostgreSQL is away"
    assert {step.leaf for step in trace.steps} == {None}
    suite.audit_error, suite.hashes_error = None, BusUnavailableError("no reply")
    assert {step.leaf for step in (await suite.trace()).steps} == {None}
    assert [step.summary for step in trace.steps] == [step.summary for step in proven.steps]


async def test_trace_without_the_right_to_read_views_has_none() -> None:
    """As with the rights of an earlier version; the look is recorded all the same, and audit has it."""
    suite = Suite()
    suite.views_error = BusUnavailableError("no reply")
    trace = await suite.trace()
    assert "conversation.viewed" not in {step.type for step in trace.steps}
    assert suite.recorded == ["Ada"]


async def test_records_of_another_region_are_not_shown() -> None:
    """A message or a commit that was stored in this account by mistake is found neither whole nor in part."""
    by_message, by_commit = Suite(), Suite()
    message = INBOX[0].message
    assert isinstance(message, TurnReceived)
    by_message.inbox = [INBOX[0]._replace(message=replace(message, region="us")), *INBOX[1:]]
    commit = COMMITS[0].commit
    by_commit.stored_commits = [replace(COMMITS[0], commit=replace(commit, region="us")), *COMMITS[1:]]
    for suite in (by_message, by_commit):
        assert await suite.find() is None
        assert suite.borders.refused == [("console", "us", "local")]
        assert suite.recorded == []
