"""A conversation's state and its log: loaded, appended to behind the fence, told to those who show it."""

from __future__ import annotations

from dataclasses import dataclass

from trunkline_chassis.errors import FenceError
from trunkline_protocols.escalation import EscalationWaiting
from trunkline_protocols.ids import EVERY_INGRESS, ConversationId, Instance, TurnId, turn_id
from trunkline_protocols.inbox import EndRequested, TurnReceived, WaitCancelled
from trunkline_protocols.log import Commit, CommitStored

from trunkline_conversation.core.state import Conversation, evolve, from_snapshot, to_snapshot
from trunkline_conversation.core.steps import Append
from trunkline_conversation.ports import Log, Outside


class OvertakenError(Exception):
    """The log moved on without this process: think again from its end."""


class AnsweredElsewhereError(Exception):
    """The log holds an answer to this message already."""


@dataclass(frozen=True, slots=True)
class CommitCause:
    """What a commit answers."""

    turn: TurnId
    tenant: str
    customer: str
    inbox_seq: int
    desk_seq: int = 0

    @classmethod
    def of_message(cls, message: TurnReceived | EndRequested | WaitCancelled, inbox_seq: int) -> CommitCause:
        """A customer's message."""
        turn = turn_id(message.conversation, inbox_seq)
        return cls(turn, message.tenant, message.customer, inbox_seq)

    @classmethod
    def of_order(cls, state: Conversation, desk_seq: int) -> CommitCause:
        """An order of the desk."""
        return cls(TurnId(f"{state.id}-d{desk_seq}"), state.tenant, state.customer, state.inbox_seq, desk_seq)

    @classmethod
    def of_clock(cls, state: Conversation) -> CommitCause:
        """The time that has passed."""
        return cls(TurnId(f"{state.id}-t{state.sequence}"), state.tenant, state.customer, state.inbox_seq)

    def is_answered_by(self, commit: Commit) -> bool:
        """Whether a commit of somebody else's settles this."""
        if self.desk_seq:
            return commit.desk_seq >= self.desk_seq
        return commit.settles and commit.inbox_seq >= self.inbox_seq


class ConversationRepository:
    """One conversation's log, as its single writer."""

    def __init__(
        self, conversation: ConversationId, *, region: str, log: Log, outside: Outside, snapshot_every: int
    ) -> None:
        """State is loaded from the log when it is first asked for."""
        self._id = conversation
        self._region = region
        self._log = log
        self._outside = outside
        self._snapshot_every = snapshot_every
        self._commits_since_snapshot = 0
        self._state: Conversation | None = None
        self.ingress = Instance("")

    @property
    def folded(self) -> Conversation | None:
        """The state as far as it is in memory."""
        return self._state

    def forget(self) -> None:
        """Load the state anew before it is used again."""
        self._state = None

    async def load(self) -> Conversation:
        """Return the state: from memory, else from snapshot and later commits."""
        if self._state is None:
            snapshot = await self._log.snapshot(self._id)
            state = (
                from_snapshot(snapshot, self._region)
                if snapshot is not None
                else Conversation(id=self._id, region=self._region)
            )
            later = await self._log.commits(self._id, after=state.sequence)
            for stored in later:
                state = evolve(state, stored.commit, stored.sequence)
            # What had to be folded counts: else one that is evicted between its turns would never get a snapshot.
            self._commits_since_snapshot = len(later)
            self._state = state
        return self._state

    async def append(self, state: Conversation, decision: Append, cause: CommitCause) -> Conversation:
        """Commit a decision and return the state after it."""
        commit = Commit(
            conversation=self._id,
            region=self._region,
            tenant=cause.tenant,
            customer=cause.customer,
            kind=decision.kind,
            turn=cause.turn,
            epoch=decision.epoch,
            owner=decision.owner,
            agent=decision.agent,
            inbox_seq=cause.inbox_seq,
            previous=state.sequence,
            frames_before=state.frames,
            at=self._outside.now(),
            events=decision.events,
            ids_before=state.ids,
            ended_before=state.closed,
            desk_seq=cause.desk_seq,
        )
        try:
            sequence = await self._log.append(commit, message_id=f"{commit.turn}-{decision.kind}-{state.hops}")
        except FenceError:
            await self._settle_conflict(state, cause)
            raise OvertakenError("somebody else committed") from None
        self._state = evolve(state, commit, sequence)
        await self.tell([CommitStored(sequence=sequence, commit=commit)])
        if self._state.escalation != state.escalation:
            await self.publish_to_desk()
        await self._snapshot_sometimes(self._state)
        return self._state

    async def _settle_conflict(self, state: Conversation, cause: CommitCause) -> None:
        """The log moved on: when it answers this message, its text is shown and not one's own."""
        newer = await self._log.commits(self._id, after=state.sequence)
        await self.tell(newer)
        self.forget()
        if any(cause.is_answered_by(stored.commit) for stored in newer):
            raise AnsweredElsewhereError

    async def _snapshot_sometimes(self, state: Conversation) -> None:
        self._commits_since_snapshot += 1
        if self._commits_since_snapshot >= self._snapshot_every:
            self._commits_since_snapshot = 0
            await self._log.store_snapshot(to_snapshot(state))

    # -- those who show it ---

    async def tell(self, commits: list[CommitStored]) -> None:
        """Tell the ingress that holds the socket; what no message of the customer's caused, every ingress."""
        for stored in commits:
            asked = stored.commit.turn == turn_id(self._id, stored.commit.inbox_seq)
            ingress = self.ingress if asked else EVERY_INGRESS
            if ingress:
                await self._outside.tell(ingress, stored)

    async def republish_last(self, state: Conversation) -> None:
        """Tell the last commit once more: a message came again, perhaps its answer was not heard."""
        await self.tell(await self._log.commits(self._id, after=state.sequence - 1))

    async def publish_to_desk(self) -> None:
        """Make the desk show what the log says; harmless to repeat."""
        state = await self.load()
        escalation = state.escalation
        if escalation is not None and escalation.level == "person":
            await self._outside.show_waiting(
                EscalationWaiting(
                    conversation=self._id,
                    region=self._region,
                    tenant=state.tenant,
                    customer=state.customer,
                    escalation=escalation,
                )
            )
        else:
            await self._outside.hide_waiting(self._id)
