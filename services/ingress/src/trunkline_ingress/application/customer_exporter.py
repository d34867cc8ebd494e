"""All conversations of a customer: those that an index names, else those that the whole log of the region has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from trunkline_chassis.errors import BusError
from trunkline_chassis.logs import reason_of
from trunkline_chassis.residency import BorderGuard
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.inbox import FeedbackGiven
from trunkline_protocols.log import CommitStored

from trunkline_ingress.application.record_border import admits_records
from trunkline_ingress.core.customer_export import ExportSource
from trunkline_ingress.operator_ports import ConversationArchive, CustomerIndex, CustomerRecords

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FoundRecords:
    """Commits and ratings of a customer's conversations, and where they were found."""

    commits: Sequence[CommitStored]
    ratings: Sequence[FeedbackGiven]
    source: ExportSource
    note: str = ""
    """What may be missing, and why."""


@dataclass(frozen=True, slots=True)
class CustomerExporter:
    """Reads the conversations of customers in one region."""

    index: CustomerIndex
    records: CustomerRecords
    archive: ConversationArchive
    borders: BorderGuard

    @property
    def region(self) -> str:
        """Region of the suite, whose conversations are exported."""
        return self.borders.region

    async def read(self, tenant: str, customer: str) -> FoundRecords:
        """Return the records of all conversations of a customer; raises `BusError` without the streams."""
        try:
            return await self._by_index(tenant, customer)
        except BusError as error:
            _log.warning("export.index_unavailable", error=reason_of(error))
            return await self._by_log(tenant, customer, str(error))

    async def _by_index(self, tenant: str, customer: str) -> FoundRecords:
        found = await self.index.conversations(tenant, customer)
        # The index may be behind the stream: what it lacks is at the stream's end.
        later = [each async for each in self.records.commits(self.region, tenant, customer, after=found.recorded)]
        names = dict.fromkeys([*found.conversations, *(each.commit.conversation for each in later)])
        logs: list[list[CommitStored]] = []
        ratings: list[FeedbackGiven] = []
        for name in names:
            log, rated = await self._conversation(tenant, customer, name)
            if log:
                logs.append(log)
                ratings += rated
        logs.sort(key=lambda log: log[0].commit.at)
        return FoundRecords([each for log in logs for each in log], ratings, "index")

    async def _conversation(
        self, tenant: str, customer: str, name: ConversationId
    ) -> tuple[list[CommitStored], list[FeedbackGiven]]:
        """Return commits and ratings of a conversation; none if it is that of another customer."""
        live = [each async for each in self.records.commits(self.region, tenant, customer, conversation=name)]
        archived = await self.archive.read(name, whole=True)
        log = [
            each for each in archived.commits(live) if (each.commit.tenant, each.commit.customer) == (tenant, customer)
        ]
        if not admits_records(self.borders, name, [each.commit.region for each in log]):
            return [], []
        ratings = {
            entry.sequence: entry.message for entry in archived.entries if isinstance(entry.message, FeedbackGiven)
        }
        ratings |= {sequence: rating async for sequence, rating in self.records.ratings_of(self.region, name)}
        return log, [ratings[sequence] for sequence in sorted(ratings)]

    async def _by_log(self, tenant: str, customer: str, reason: str) -> FoundRecords:
        found = [each async for each in self.records.commits(self.region, tenant, customer)]
        regions: dict[ConversationId, set[str]] = {}
        for each in found:
            regions.setdefault(each.commit.conversation, set()).add(each.commit.region)
        named = {name for name, those in regions.items() if admits_records(self.borders, name, those)}
        commits = [each for each in found if each.commit.conversation in named]
        ratings = [each async for each in self.records.ratings(self.region, named)] if named else []
        note = f"The whole log of the region was read; archived conversations and older ratings are missing: {reason}"
        return FoundRecords(commits, ratings, "log", note)
