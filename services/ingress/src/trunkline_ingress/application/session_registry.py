"""All open conversations of this ingress, and what comes for them: from the line, the desk, the notice board."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog
from nats.aio.msg import Msg
from prometheus_client import Gauge
from trunkline_chassis.errors import BusError
from trunkline_chassis.kv_view import KvView
from trunkline_chassis.notices import Notices
from trunkline_protocols import codec
from trunkline_protocols.broadcast import NoticeMessage, NoticePublished, NoticeRecalled
from trunkline_protocols.escalation import EscalationWaiting
from trunkline_protocols.frames import NoticeFrame, NoticeRecalledFrame, PositionFrame
from trunkline_protocols.ids import ConversationId, Instance, InvalidIdError
from trunkline_protocols.rules.escalation import queue
from trunkline_protocols.rules.notices import concerns
from trunkline_protocols.turn import SocketAttached

from trunkline_ingress.application.session import Session

_log: Final = structlog.get_logger(__name__)
_OPEN: Final = Gauge("trunkline_conversations_open", "Conversations with an open socket")

_WATCH_EVERY_S: Final = 0.5
_PLACES_EVERY_S: Final = 1.0


class SessionRegistry:
    """The open conversations, by their id. The newest socket of a conversation wins."""

    def __init__(self, instance: Instance, notices: Notices, waiting: KvView[EscalationWaiting]) -> None:
        """`instance` is this ingress' own name; `waiting` is the queue for people."""
        self._instance = instance
        self._notices = notices
        self._waiting = waiting
        self._places: dict[str, PositionFrame] = {}
        self._by_conversation: dict[ConversationId, tuple[Session, asyncio.Event]] = {}

    def __len__(self) -> int:
        """How many sockets have a conversation."""
        return len(self._by_conversation)

    def add(self, connection: Session) -> asyncio.Event:
        """Register a socket; the one before is told to leave. The returned event is set when this one has to."""
        self.leave(connection.conversation)
        replaced = asyncio.Event()
        self._by_conversation[connection.conversation] = (connection, replaced)
        _OPEN.set(len(self))
        return replaced

    def welcome(self, connection: Session) -> None:
        """Tell a socket that has just opened what holds for it: notices, and its place in the queue."""
        for notice in self._notices.active("customers", tenant=connection.identity.tenant):
            connection.offer(notice_frame(notice))
        self._places.pop(connection.conversation, None)

    def remove(self, connection: Session) -> None:
        """Forget a socket that is closed."""
        entry = self._by_conversation.get(connection.conversation)
        if entry is not None and entry[0] is connection:
            del self._by_conversation[connection.conversation]
            self._places.pop(connection.conversation, None)
            _OPEN.set(len(self))

    def leave(self, conversation: ConversationId) -> None:
        """Tell the socket of a conversation that it goes on elsewhere."""
        entry = self._by_conversation.pop(conversation, None)
        if entry is not None:
            entry[1].set()

    async def on_out(self, message: Msg) -> None:
        """Pass on a delta or a commit; for a socket that is gone, nothing: the log has it."""
        conversation = ConversationId(message.subject.rpartition(".")[2])
        entry = self._by_conversation.get(conversation)
        if entry is None:
            return
        try:
            entry[0].offer(codec.out.decode(message.data))
        except codec.DecodeError as error:
            _log.error("out.unreadable", subject=message.subject, error=str(error))

    async def on_attached(self, message: Msg) -> None:
        """Another ingress has taken a conversation over."""
        try:
            attached: SocketAttached = codec.attached.decode(message.data)
        except (codec.DecodeError, InvalidIdError) as error:
            _log.error("attach.unreadable", subject=message.subject, error=str(error))
            return
        if attached.ingress != self._instance:
            self.leave(attached.conversation)

    def on_notice(self, message: NoticeMessage) -> None:
        """Pass a broadcast, or its recall, on to the customers that it concerns."""
        if message.audience == "agents":
            return
        for connection, _ in list(self._by_conversation.values()):
            match message:
                case NoticeRecalled(notice=notice):
                    connection.offer(NoticeRecalledFrame(id=notice))
                case NoticePublished() if concerns(message, now=time.time(), tenant=connection.identity.tenant):
                    connection.offer(notice_frame(message))
                case _:
                    pass

    async def tell_places(self) -> None:
        """Tell those who wait for a person how their place has changed; until cancelled."""
        while True:
            await asyncio.sleep(_PLACES_EVERY_S)
            ours = [entry for entry in self._waiting.values.values() if entry.conversation in self._by_conversation]
            if not ours:
                continue
            waiting = queue(self._waiting.values.values(), time.time())
            places = {entry.conversation: position for position, entry in enumerate(waiting, start=1)}
            for entry in ours:
                frame = PositionFrame(
                    urgency=entry.escalation.urgency,
                    position=places.get(entry.conversation, 0),
                    claimed_by=entry.escalation.claimed_by,
                )
                if self._places.get(entry.conversation) != frame:
                    self._places[entry.conversation] = frame
                    self._by_conversation[entry.conversation][0].offer(frame)

    async def watch(self) -> None:
        """Look into the log for answers that were committed but never heard of; until cancelled."""
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            now = time.time()
            for connection, _ in list(self._by_conversation.values()):
                if connection.due(now):
                    try:
                        await connection.catch_up(now)
                    except BusError as error:
                        _log.warning("watch.failed", conversation=connection.conversation, error=str(error))
                        break


def notice_frame(notice: NoticePublished) -> NoticeFrame:
    """Tell a broadcast to a customer."""
    return NoticeFrame(id=notice.notice, text=notice.text, severity=notice.severity, expires_at=notice.expires_at)
