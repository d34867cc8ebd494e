"""Records of another region that are stored here by mistake are not exported."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace

from msgspec.structs import replace
from trunkline_chassis.errors import BusUnavailableError
from trunkline_ingress.application.customer_exporter import CustomerExporter
from trunkline_ingress.core.archived import ArchivedConversation
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.inbox import FeedbackGiven
from trunkline_protocols.log import CommitStored

from tests.ingress.conversation_simulator import simulate
from tests.support.borders import ListedBorders

OWN = simulate(["message", "answer"]).commits
FOREIGN = [
    replace(stored, commit=replace(stored.commit, conversation=ConversationId("cforeign"), region="us"))
    for stored in OWN
]
CUSTOMER = (OWN[0].commit.tenant, OWN[0].commit.customer)


class Records:
    """A log with conversations of two regions under subjects of one, with and without the index of audit."""

    def __init__(self, *, has_index: bool) -> None:
        self.has_index = has_index

    async def conversations(self, *_: object) -> SimpleNamespace:
        if not self.has_index:
            raise BusUnavailableError("no reply")
        return SimpleNamespace(conversations=[OWN[0].commit.conversation, "cforeign"], recorded=99)

    async def commits(self, *_: object, conversation: str = "", after: int = 0) -> AsyncIterator[CommitStored]:
        for stored in [*OWN, *FOREIGN]:
            if stored.sequence > after and conversation in {"", stored.commit.conversation}:
                yield stored

    async def ratings_of(self, *_: object) -> AsyncIterator[tuple[int, FeedbackGiven]]:
        nothing: list[tuple[int, FeedbackGiven]] = []
        for rating in nothing:
            yield rating

    async def ratings(self, *_: object) -> AsyncIterator[FeedbackGiven]:
        nothing: list[FeedbackGiven] = []
        for rating in nothing:
            yield rating

    async def read(self, *_: object, whole: bool = False) -> ArchivedConversation:
        assert whole
        return ArchivedConversation()


async def test_conversations_of_another_region_are_not_exported() -> None:
    """By the index as by the whole log; each is a refused passage."""
    for has_index in (True, False):
        records, borders = Records(has_index=has_index), ListedBorders()
        exporter = CustomerExporter(records, records, records, borders)  # type: ignore[arg-type]
        found = await exporter.read(*CUSTOMER)
        assert found.source == ("index" if has_index else "log")
        assert {each.commit.conversation for each in found.commits} == {OWN[0].commit.conversation}
        assert borders.refused == [("console", "us", "local")]
