"""Recovery of a conversation for a client that resumes: the log is read backwards from its end (ADR 0018).

Each commit names its predecessor, so the cost follows the number of missed frames. The last commit usually suffices;
further steps back reach the missed frames, and a commit that settles messages, after which the inbox is read. If much
was missed, for example after a page reload, one read of the whole log replaces the steps.
"""

from __future__ import annotations

from typing import Final

from trunkline_protocols.frames import DurableFrame
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.log import CommitStored

from trunkline_ingress.core.ledger import Ledger, last_seq_before
from trunkline_ingress.ports import ConversationLog, CustomerInbox

_MAX_SINGLE_READS: Final = 16
"""Commits read one by one before the whole log is read."""
_FRAMES_PER_COMMIT: Final = 2
"""Frames of a typical commit: `accepted` and `message`."""


async def recover(
    inbox: CustomerInbox, log: ConversationLog, region: str, conversation: ConversationId, *, last_seq: int
) -> tuple[Ledger, list[DurableFrame]]:
    """Return the conversation's ledger and its frames after `last_seq`, which may be beyond the last frame."""
    tail = _LogTail(log, region, conversation)
    await tail.read_last()
    while not tail.settles and not tail.complete:
        await tail.read_previous()
    # After the log: messages answered in between are then known. Messages behind the end read here meet the fence.
    unsettled = await inbox.unsettled(region, conversation, after=tail.settled)
    while not tail.complete:
        missing = last_seq_before(tail.commits, unsettled.messages) - last_seq
        if missing <= 0:
            break
        await tail.read_previous(whole=missing > _MAX_SINGLE_READS * _FRAMES_PER_COMMIT)
    ledger, frames = Ledger.replay(tail.commits, unsettled.messages, end=unsettled.end)
    return ledger, [frame for frame in frames if frame.seq > last_seq]


class _LogTail:
    """The last commits of a conversation, read backwards."""

    def __init__(self, log: ConversationLog, region: str, conversation: ConversationId) -> None:
        self._log = log
        self._region = region
        self._conversation = conversation
        self.commits: list[CommitStored] = []
        self.complete = False
        """True if `commits` is the whole log."""

    @property
    def settles(self) -> bool:
        """True if any of the commits settles a message."""
        return any(stored.commit.settles for stored in self.commits)

    @property
    def settled(self) -> int:
        """Inbox sequence of the last settled message."""
        return max((stored.commit.inbox_seq for stored in self.commits if stored.commit.settles), default=0)

    async def read_last(self) -> None:
        """Read the last commit."""
        last = await self._log.last_commit(self._region, self._conversation)
        self._prepend([last] if last is not None else [])

    async def read_previous(self, *, whole: bool = False) -> None:
        """Read the commit before; if `whole` is set, or after `_MAX_SINGLE_READS` commits, read the whole log."""
        previous = self.commits[0].commit.previous
        before = None if whole or len(self.commits) >= _MAX_SINGLE_READS else await self._log.commit_at(previous)
        if before is not None:
            self._prepend([before])
            return
        # Without commits that arrived since: the messages settled by them have not been read.
        log = await self._log.commits(self._region, self._conversation, after=0)
        self._prepend([stored for stored in log if stored.sequence <= previous])
        self.complete = True

    def _prepend(self, earlier: list[CommitStored]) -> None:
        self.commits = [*earlier, *self.commits]
        self.complete = not self.commits or self.commits[0].commit.previous == 0
