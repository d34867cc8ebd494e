"""Stream NOTICES: broadcasts and their receipts."""

from __future__ import annotations

from trunkline_chassis.bus import Bus
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.broadcast import NoticeMessage, NoticeReceipt


class NatsNoticeStore:
    """Notice store of one region on JetStream."""

    def __init__(self, bus: Bus, region: str) -> None:
        """Use the connection of the process."""
        self._bus = bus
        self._region = region

    async def publish(self, message: NoticeMessage, *, message_id: str, ttl_s: float) -> None:
        """Append a notice or its recall."""
        subject = subjects.notice(self._region, message.audience)
        await self._bus.append(subject, codec.encode(message), message_id=message_id, ttl_s=ttl_s)

    async def receipts(self, notice: str) -> set[str]:
        """Read the receipts of a notice."""
        stored = await self._bus.read_messages(streams.NOTICES.name, subjects.receipts(self._region, notice))
        instances: set[str] = set()
        for message in stored:
            try:
                receipt = codec.notice.decode(message.payload)
            except codec.DecodeError as error:
                report_undecodable("receipt", message.subject, error, sequence=message.seq)
                continue
            if isinstance(receipt, NoticeReceipt):
                instances.add(receipt.instance)
        return instances
