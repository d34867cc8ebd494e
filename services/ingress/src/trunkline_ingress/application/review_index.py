"""Index of the turns to review, read from the ends of the streams."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import Final

import msgspec
from trunkline_protocols.inbox import FeedbackGiven
from trunkline_protocols.log import Commit

from trunkline_ingress.core.review import (
    LastAnswer,
    ReviewItem,
    ReviewKind,
    item_of_rating,
    items_of_commit,
    last_answer,
)
from trunkline_ingress.ports import RecentRecords

MAX_READ: Final = 2_000
"""Messages of each stream that one request reads at most; older ones are left out."""
MAX_ITEMS: Final = 100
"""Items of each kind."""
_MAX_CONVERSATIONS: Final = 10_000
_KINDS: Final[tuple[ReviewKind, ...]] = ("unanswered", "low_rating", "misroute")


class ReviewIndex:
    """The latest items; every request reads what the streams have gained since the one before."""

    def __init__(self, records: RecentRecords, region: str) -> None:
        """Start empty: the first request reads the last `MAX_READ` messages of each stream."""
        self._records = records
        self._region = region
        self._items: dict[ReviewKind, deque[ReviewItem]] = {kind: deque(maxlen=MAX_ITEMS) for kind in _KINDS}
        self._answers: OrderedDict[str, LastAnswer] = OrderedDict()
        self._commits_read = self._inbox_read = 0
        self._lock = asyncio.Lock()
        self._is_stale = False
        self.since = 0.0
        """Time of the oldest commit that was read, 0 if there was none."""

    def clear(self) -> None:
        """Forget everything: some of the texts are erased. The next request reads the streams again."""
        self._is_stale = True

    async def latest(self) -> list[ReviewItem]:
        """Read both streams up to their ends; return the items, latest first."""
        async with self._lock:
            if self._is_stale:
                self._reset()
            commits = await self._records.commits(self._region, after=self._commits_read, limit=MAX_READ)
            for commit in commits.messages:
                self._add_commit(commit)
            self._commits_read = commits.end
            ratings = await self._records.ratings(self._region, after=self._inbox_read, limit=MAX_READ)
            for rating in ratings.messages:
                self._add_rating(rating)
            self._inbox_read = ratings.end
            if self._is_stale:
                # What was read may hold texts that were erased meanwhile.
                self._reset()
        return sorted((item for items in self._items.values() for item in items), key=lambda item: -item.at)

    def _reset(self) -> None:
        for items in self._items.values():
            items.clear()
        self._answers.clear()
        self._commits_read = self._inbox_read = 0
        self._is_stale = False
        self.since = 0.0

    def _add_commit(self, commit: Commit) -> None:
        self.since = self.since or commit.at
        for item in items_of_commit(commit, self._answers.get(commit.conversation)):
            self._items[item.kind].append(item)
        answer = last_answer(commit)
        if answer is None:
            return
        self._answers[commit.conversation] = answer
        self._answers.move_to_end(commit.conversation)
        if len(self._answers) > _MAX_CONVERSATIONS:
            self._answers.popitem(last=False)
        self._name_question(commit.turn, answer.text)

    def _name_question(self, turn: str, text: str) -> None:
        """Add the customer's message to the turns that were moved: only the commit of the answer holds it."""
        moved = self._items["misroute"]
        for at, item in enumerate(moved):
            if item.turn == turn and not item.text:
                moved[at] = msgspec.structs.replace(item, text=text)

    def _add_rating(self, rating: FeedbackGiven) -> None:
        """Replace an earlier rating of the same conversation."""
        ratings = self._items["low_rating"]
        for earlier in [item for item in ratings if item.conversation == rating.conversation]:
            ratings.remove(earlier)
        item = item_of_rating(rating, self._answers.get(rating.conversation))
        if item is not None:
            ratings.append(item)
