"""Inbox, log and snapshots on JetStream."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import FenceError
from trunkline_chassis.texts import NO_KEYS, Texts
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.log import Commit, CommitStored
from trunkline_protocols.snapshot import Snapshot
from trunkline_protocols.texts import StoredTexts

from trunkline_conversation.ports import InboxItem


class JetStreamLog:
    """Implements the port `Log`. All reads go to the stream's leader."""

    def __init__(self, bus: Bus, region: str, texts: Texts = NO_KEYS) -> None:
        """Use the streams of one region, and the keys of customers."""
        self._bus = bus
        self._region = region
        self._texts = texts

    async def readable(self, item: InboxItem) -> InboxItem:
        """Decrypt the texts of a message."""
        if not isinstance(item.message, StoredTexts):
            return item
        return replace(item, message=await self._texts.decrypt_or_erase(item.message))

    async def is_erased(self, key: str) -> bool:
        """Look the key up."""
        return await self._texts.is_erased(key)

    async def append(self, commit: Commit, *, message_id: str) -> int:
        """Append behind `commit.previous`; the fence covers all commit kinds of the conversation."""
        appended = await self._bus.append(
            subjects.log(self._region, commit.conversation, commit.kind),
            codec.encode(await self._texts.encrypt(commit)),
            message_id=message_id,
            fence=(subjects.log_fence(self._region, commit.conversation), commit.previous),
        )
        if appended.duplicate:
            raise FenceError("this commit is in the log already")
        return appended.seq

    async def commits(self, conversation: ConversationId, *, after: int) -> list[CommitStored]:
        """Read the commits with a sequence greater than `after`."""
        stored = await self._bus.read_messages(
            streams.CONVERSATIONS.name, subjects.log_fence(self._region, conversation), after=after
        )
        return [
            CommitStored(
                sequence=message.seq, commit=await self._texts.decrypt_or_erase(codec.commit.decode(message.payload))
            )
            for message in stored
        ]

    async def customer_messages(self, conversation: ConversationId, *, after: int, before: int) -> list[InboxItem]:
        """Read the customer's messages between two sequences."""
        return await self._read_inbox(subjects.inbox(self._region, conversation), after=after, before=before)

    async def last_customer_message(self, conversation: ConversationId) -> InboxItem | None:
        """Read the customer's last message."""
        last = await self._bus.last_message(streams.INBOX.name, subjects.inbox(self._region, conversation))
        return InboxItem(last.seq, codec.slot.decode(last.payload), last.traceparent) if last is not None else None

    async def desk_commands(self, conversation: ConversationId, *, after: int, before: int) -> list[InboxItem]:
        """Read the desk commands between two sequences."""
        return await self._read_inbox(subjects.desk(self._region, conversation), after=after, before=before)

    async def _read_inbox(self, subject: str, *, after: int, before: int) -> list[InboxItem]:
        """Read messages between two sequences; undecodable ones are skipped, they are dead-lettered on delivery."""
        items = []
        for stored in await self._bus.read_messages(streams.INBOX.name, subject, after=after):
            if stored.seq < before:
                with contextlib.suppress(codec.DecodeError):
                    item = InboxItem(stored.seq, codec.slot.decode(stored.payload), stored.traceparent)
                    items.append(await self.readable(item))
        return items

    async def snapshot(self, conversation: ConversationId) -> Snapshot | None:
        """Read the snapshot from KV SNAPSHOTS; None if it cannot be decoded: the log holds the whole state."""
        stored = await self._bus.last_message(
            f"KV_{streams.SNAPSHOTS.name}", f"$KV.{streams.SNAPSHOTS.name}.{conversation}"
        )
        if stored is None or not stored.payload:
            return None
        try:
            return await self._texts.decrypt_or_erase(codec.snapshot.decode(stored.payload))
        except codec.DecodeError as error:
            report_undecodable("snapshot", stored.subject, error, sequence=stored.seq)
            return None

    async def store_snapshot(self, snapshot: Snapshot) -> None:
        """Publish the snapshot to KV SNAPSHOTS without waiting for an acknowledgement."""
        payload = codec.encode(await self._texts.encrypt(snapshot))
        await self._bus.publish(f"$KV.{streams.SNAPSHOTS.name}.{snapshot.conversation}", payload)
