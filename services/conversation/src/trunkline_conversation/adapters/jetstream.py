"""The log, the work queue and the way to the ingress, on NATS."""

from __future__ import annotations

import contextlib
import time
from zlib import crc32

from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusError, FenceError
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.desk import DeskOutcome
from trunkline_protocols.escalation import EscalationWaiting
from trunkline_protocols.ids import ConversationId, Instance
from trunkline_protocols.log import Commit, CommitStored
from trunkline_protocols.snapshot import Snapshot
from trunkline_protocols.turn import AnswerTurn

from trunkline_conversation.ports import InboxItem


class JetStreamLog:
    """Log and snapshots on JetStream."""

    def __init__(self, bus: Bus, region: str) -> None:
        """Write the log of one region."""
        self._bus = bus
        self._region = region

    async def append(self, commit: Commit, *, message_id: str) -> int:
        """Append behind `commit.previous`: the fence goes over all kinds of the conversation."""
        appended = await self._bus.append(
            subjects.log(self._region, commit.conversation, commit.kind),
            codec.encode(commit),
            message_id=message_id,
            fence=(subjects.log_fence(self._region, commit.conversation), commit.previous),
        )
        if appended.duplicate:
            raise FenceError("this commit is in the log already")
        return appended.seq

    async def commits(self, conversation: ConversationId, *, after: int) -> list[CommitStored]:
        """Read from the leader."""
        stored = await self._bus.read_messages(
            streams.CONVERSATIONS.name, subjects.log_fence(self._region, conversation), after=after
        )
        return [CommitStored(sequence=message.seq, commit=codec.commit.decode(message.payload)) for message in stored]

    async def inbox(self, conversation: ConversationId, *, after: int, before: int) -> list[InboxItem]:
        """Read from the leader."""
        return await self._slot(subjects.inbox(self._region, conversation), after=after, before=before)

    async def desk(self, conversation: ConversationId, *, after: int, before: int) -> list[InboxItem]:
        """Read from the leader."""
        return await self._slot(subjects.desk(self._region, conversation), after=after, before=before)

    async def _slot(self, subject: str, *, after: int, before: int) -> list[InboxItem]:
        """Read what lies between; a message that cannot be read is a dead letter already."""
        items = []
        for stored in await self._bus.read_messages(streams.INBOX.name, subject, after=after):
            if stored.seq < before:
                with contextlib.suppress(codec.DecodeError):
                    items.append(InboxItem(stored.seq, codec.slot.decode(stored.payload)))
        return items

    async def snapshot(self, conversation: ConversationId) -> Snapshot | None:
        """Read from KV."""
        stored = await self._bus.last_message(
            f"KV_{streams.SNAPSHOTS.name}", f"$KV.{streams.SNAPSHOTS.name}.{conversation}"
        )
        return codec.snapshot.decode(stored.payload) if stored is not None and stored.payload else None

    async def store_snapshot(self, snapshot: Snapshot) -> None:
        """Write to KV without waiting."""
        await self._bus.publish(f"$KV.{streams.SNAPSHOTS.name}.{snapshot.conversation}", codec.encode(snapshot))


class NatsOutside:
    """Agents and ingresses on NATS."""

    def __init__(self, bus: Bus) -> None:
        """Use one connection for all."""
        self._bus = bus

    async def ask(self, order: AnswerTurn) -> int:
        """Append to the in-memory work queue."""
        return await self._enqueue(order, codec.encode(order), after=0)

    async def requeue(self, order: AnswerTurn, place: int) -> int:
        """Append once more, unless the queue still holds it: work is removed when an agents process takes it."""
        payload = codec.encode(order)
        try:
            waiting = await self._bus.get_message(streams.WORK.name, place)
        except BusError:
            return place
        # In a queue that was lost and made anew the place may be another's.
        if waiting is not None and waiting.payload == payload:
            return place
        return await self._enqueue(order, payload, after=place)

    async def _enqueue(self, order: AnswerTurn, payload: bytes, *, after: int) -> int:
        """Append under an id that makes a repetition of this very append harmless.

        The time is part of it: after a restart the same turn is a new order, because the results of the old one went
        to a process that is gone. So is the place that the order was lost from.
        """
        message_id = f"{order.ref.turn}-{order.ref.hop}-{order.ref.attempt}-{order.dispatched_at:.6f}-{after}"
        return (await self._bus.append(subjects.work(order.specialty, order.lane), payload, message_id=message_id)).seq

    async def tell(self, ingress: Instance, stored: CommitStored) -> None:
        """Publish to the socket's ingress."""
        await self._bus.publish(subjects.out(ingress, stored.commit.conversation), codec.encode(stored))

    async def show_waiting(self, entry: EscalationWaiting) -> None:
        """Put into KV DESK, with an acknowledgement: people rely on it."""
        await self._put(entry.conversation, codec.encode(entry), entry.escalation.due_at)

    async def hide_waiting(self, conversation: ConversationId) -> None:
        """Empty the key: an empty value is a deletion."""
        await self._put(conversation, b"", self.now())

    async def _put(self, conversation: ConversationId, payload: bytes, at: float) -> None:
        subject = f"$KV.{streams.DESK.name}.{conversation}"
        await self._bus.append(subject, payload, message_id=f"{conversation}-{at:.6f}-{crc32(payload)}")

    async def answer_desk(self, reply_to: str, outcome: DeskOutcome) -> None:
        """Publish to whoever waits for it."""
        if reply_to:
            await self._bus.publish(reply_to, codec.encode(outcome))

    def now(self) -> float:
        """Read the clock."""
        return time.time()
