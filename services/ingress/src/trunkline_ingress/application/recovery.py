"""What a customer who comes back has missed, for the price of that: the log is read from its end.

Each commit names the one before it. The last one is mostly enough; a few steps back lead to what was missed, and to a
commit that settles the customer's messages up to one of them, so that the inbox is read from there. Who has missed much
(a page that was loaded anew) costs one read of the whole log.
"""

from __future__ import annotations

from typing import Final

from trunkline_protocols.frames import DurableFrame
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.log import CommitStored

from trunkline_ingress.core.ledger import Ledger, last_before
from trunkline_ingress.ports import Line

_STEPS: Final = 16
"""So many commits are read one by one before the rest is read at once."""
_FRAMES_OF_A_COMMIT: Final = 2
"""`accepted` and `message`."""


async def recover(
    line: Line, region: str, conversation: ConversationId, *, last_seq: int
) -> tuple[Ledger, list[DurableFrame]]:
    """Return the conversation's ledger, and its frames after `last_seq`, which may be beyond its end."""
    log = _EndOfLog(line, region, conversation)
    await log.open()
    while not log.settles and not log.complete:
        await log.go_back()
    # After the log: what is answered in between is told. Later messages than the end that is read here meet the fence.
    unsettled = await line.unsettled(region, conversation, after=log.settled)
    while not log.complete:
        missing = last_before(log.commits, unsettled.messages) - last_seq
        if missing <= 0:
            break
        await log.go_back(far=missing > _STEPS * _FRAMES_OF_A_COMMIT)
    ledger, frames = Ledger.replay(log.commits, unsettled.messages, end=unsettled.end)
    return ledger, [frame for frame in frames if frame.seq > last_seq]


class _EndOfLog:
    """A conversation's last commits, as far back as they were read."""

    def __init__(self, line: Line, region: str, conversation: ConversationId) -> None:
        self._line = line
        self._region = region
        self._conversation = conversation
        self.commits: list[CommitStored] = []
        self.complete = False
        """Whether these are all."""

    @property
    def settles(self) -> bool:
        return any(stored.commit.settles for stored in self.commits)

    @property
    def settled(self) -> int:
        """Sequence of the last message that is settled."""
        return max((stored.commit.inbox_seq for stored in self.commits if stored.commit.settles), default=0)

    async def open(self) -> None:
        """Read the last one."""
        last = await self._line.last_commit(self._region, self._conversation)
        self._put_before([last] if last is not None else [])

    async def go_back(self, *, far: bool = False) -> None:
        """Read the one before; all, where that is far or many were read."""
        previous = self.commits[0].commit.previous
        before = None if far or len(self.commits) >= _STEPS else await self._line.commit_at(previous)
        if before is not None:
            self._put_before([before])
            return
        # Not what came meanwhile: messages that it settles were not read.
        whole = await self._line.commits(self._region, self._conversation, after=0)
        self._put_before([stored for stored in whole if stored.sequence <= previous])
        self.complete = True

    def _put_before(self, earlier: list[CommitStored]) -> None:
        self.commits = [*earlier, *self.commits]
        self.complete = not self.commits or self.commits[0].commit.previous == 0
