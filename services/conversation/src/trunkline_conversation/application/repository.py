"""Event-sourced repository of one conversation: load, append (fenced), notify ingress and desk."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace
from trunkline_chassis.errors import FenceError
from trunkline_chassis.tracing import span_types as spans
from trunkline_chassis.tracing.tracer import span
from trunkline_protocols.desk import DeskMessage
from trunkline_protocols.ids import EVERY_INGRESS, ConversationId, Instance, TurnId, turn_id
from trunkline_protocols.inbox import EndRequested, TurnReceived, WaitCancelled
from trunkline_protocols.log import Commit, CommitStored
from trunkline_protocols.texts import StoredTexts

from trunkline_conversation.core.queue_entry import queue_entry
from trunkline_conversation.core.state import Conversation, evolve, from_snapshot, to_snapshot
from trunkline_conversation.core.steps import Append
from trunkline_conversation.ports import ConversationPorts


class OvertakenError(Exception):
    """Another process has committed: decide again from the end of the log."""


class AnsweredElsewhereError(Exception):
    """The log holds an answer to this message already."""


@dataclass(frozen=True, slots=True)
class CommitCause:
    """The message, command or timer that a commit answers."""

    turn: TurnId
    tenant: str
    customer: str
    inbox_seq: int
    desk_seq: int = 0
    key: str = ""
    """Id of the key that the texts of the message are stored with; empty: in clear."""
    erased: bool = False
    """If true, the conversation ends because its key is destroyed: its last commit has no text of the customer."""

    @classmethod
    def of_message(cls, message: TurnReceived | EndRequested | WaitCancelled, inbox_seq: int) -> CommitCause:
        """Return the cause for a customer's message."""
        turn = turn_id(message.conversation, inbox_seq)
        key = message.key if isinstance(message, TurnReceived) else ""
        return cls(turn, message.tenant, message.customer, inbox_seq, key=key)

    @classmethod
    def of_command(cls, state: Conversation, command: DeskMessage, desk_seq: int) -> CommitCause:
        """Return the cause for a desk command."""
        key = command.key if isinstance(command, StoredTexts) else ""
        turn = TurnId(f"{state.id}-d{desk_seq}")
        return cls(turn, state.tenant, state.customer, state.inbox_seq, desk_seq, key=key)

    @classmethod
    def of_timer(cls, state: Conversation) -> CommitCause:
        """Return the cause for an expired SLA."""
        return cls(TurnId(f"{state.id}-t{state.sequence}"), state.tenant, state.customer, state.inbox_seq)

    def is_answered_by(self, commit: Commit) -> bool:
        """Return whether a commit of another process settles this cause."""
        if self.desk_seq:
            return commit.desk_seq >= self.desk_seq
        return commit.settles and commit.inbox_seq >= self.inbox_seq


class ConversationRepository:
    """The log of one conversation, used by its single writer."""

    def __init__(
        self, conversation: ConversationId, *, region: str, ports: ConversationPorts, snapshot_every: int
    ) -> None:
        """Load the state with the first call of `load`; store a snapshot after every `snapshot_every` commits."""
        self.id = conversation
        self._region = region
        self._log = ports.log
        self._notifier = ports.notifier
        self._escalation_queue = ports.escalation_queue
        self._now = ports.now
        self._snapshot_every = snapshot_every
        self._commits_since_snapshot = 0
        self._state: Conversation | None = None
        self.ingress = Instance("")
        """The ingress that holds the customer's socket."""

    @property
    def cached_state(self) -> Conversation | None:
        """State in memory, None if it is not loaded."""
        return self._state

    def invalidate(self) -> None:
        """Discard the state in memory, so that the next use loads it from the log."""
        self._state = None

    async def load(self, *, is_first_message: bool = False) -> Conversation:
        """Return the state: from memory, otherwise from the snapshot and later commits.

        Before the first message of a conversation there is no snapshot to read: the log is empty, or short.
        """
        if self._state is None:
            snapshot = None if is_first_message else await self._log.snapshot(self.id)
            state = (
                from_snapshot(snapshot, self._region)
                if snapshot is not None
                else Conversation(id=self.id, region=self._region)
            )
            later = await self._log.commits(self.id, after=state.sequence)
            for stored in later:
                state = evolve(state, stored.commit, stored.sequence)
            # Folded commits count: a conversation that is evicted after every turn would never get a snapshot.
            self._commits_since_snapshot = len(later)
            self._state = state
        return self._state

    async def append(self, state: Conversation, decision: Append, cause: CommitCause) -> Conversation:
        """Commit a decision and return the new state.

        Raises `AnsweredElsewhereError` if another process has answered the cause, `OvertakenError` if it has committed
        something else.
        """
        commit = self._commit(state, decision, cause)
        try:
            with span(spans.COMMIT) as committed:
                sequence = await self._log.append(commit, message_id=f"{commit.turn}-{decision.kind}-{state.hops}")
                committed.set(spans.TURN, commit.turn)
                committed.set(spans.COMMIT_KIND, commit.kind)
                committed.set(spans.COMMIT_SEQ, sequence)
                committed.set(spans.EPOCH, commit.epoch)
        except FenceError:
            await self._resolve_conflict(state, cause)
            raise OvertakenError("another process has committed") from None
        self._state = evolve(state, commit, sequence)
        await self._notify([CommitStored(sequence=sequence, commit=commit)])
        if queue_entry(self._state) != queue_entry(state):
            await self.update_escalation_queue()
        await self._store_snapshot_if_due(self._state)
        return self._state

    def _commit(self, state: Conversation, decision: Append, cause: CommitCause) -> Commit:
        return Commit(
            conversation=self.id,
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
            at=self._now(),
            events=decision.events,
            ids_before=state.ids,
            ended_before=state.closed,
            desk_seq=cause.desk_seq,
            key="" if cause.erased else cause.key or state.key,
            erased=cause.erased,
            fleet_version=state.fleet_version,
            draw=state.draw,
            colour=state.colour,
            release_draw=state.release_draw,
        )

    async def _resolve_conflict(self, state: Conversation, cause: CommitCause) -> None:
        """Notify the ingress of the commits of the other process and discard the own state."""
        newer = await self._log.commits(self.id, after=state.sequence)
        await self._notify(newer)
        self.invalidate()
        if any(cause.is_answered_by(stored.commit) for stored in newer):
            raise AnsweredElsewhereError

    async def _store_snapshot_if_due(self, state: Conversation) -> None:
        self._commits_since_snapshot += 1
        if self._commits_since_snapshot >= self._snapshot_every:
            self._commits_since_snapshot = 0
            await self._log.store_snapshot(to_snapshot(state))

    # -- notifications ---

    async def _notify(self, commits: list[CommitStored]) -> None:
        """Notify the ingress with the socket; every ingress if a commit answers no message of the customer."""
        for stored in commits:
            answers_message = stored.commit.turn == turn_id(self.id, stored.commit.inbox_seq)
            ingress = self.ingress if answers_message else EVERY_INGRESS
            if ingress:
                await self._notifier.notify_ingress(ingress, stored)

    async def republish_last(self, state: Conversation) -> None:
        """Publish the last commit again: if a message is redelivered, its answer may have been lost."""
        await self._notify(await self._log.commits(self.id, after=state.sequence - 1))

    async def update_escalation_queue(self, *, gone_since: float | None = None) -> None:
        """Make the escalation queue match the log; idempotent. `gone_since` of the entry stays unless it is given."""
        entry = queue_entry(await self.load())
        if entry is None:
            await self._escalation_queue.remove(self.id)
            return
        if gone_since is None:
            # The view may lag behind: the monitor of the sockets then corrects the entry.
            current = self._escalation_queue.entry(self.id)
            gone_since = current.gone_since if current is not None else 0.0
        await self._escalation_queue.put(replace(entry, gone_since=gone_since))
