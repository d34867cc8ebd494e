"""Registry of the open sessions of this ingress, and the distribution of outgoing frames to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Gauge
from trunkline_chassis.errors import BusError
from trunkline_chassis.ticks import next_tick
from trunkline_protocols.broadcast import NoticeMessage, NoticePublished, NoticeRecalled
from trunkline_protocols.frames import NoticeFrame, NoticeRecalledFrame, PositionFrame
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.rules.escalation import queue
from trunkline_protocols.rules.notices import concerns
from trunkline_protocols.rules.sockets import is_late
from trunkline_protocols.turn import SocketAttached

from trunkline_ingress.application.session import Session
from trunkline_ingress.ports import EscalationView, NoticeView

_log: Final = structlog.get_logger(__name__)
_OPEN: Final = Gauge("trunkline_conversations_open", "Conversations with an open socket")

_CHECK_INTERVAL_S: Final = 0.5
_POSITIONS_INTERVAL_S: Final = 1.0
_MAX_ATTACHED: Final = 5_000
"""Conversations that a heartbeat reports, some 150 KiB; beyond it, the presence of customers is unknown."""


class SessionRegistry:
    """The open sessions by conversation; the newest socket of a conversation replaces an older one."""

    def __init__(
        self, notices: NoticeView, escalations: EscalationView, *, now: Callable[[], float] = time.time
    ) -> None:
        """Start without sessions; `now` returns Unix seconds."""
        self._now = now
        self._notices = notices
        self._escalations = escalations
        self._positions: dict[str, PositionFrame] = {}
        """Last position frame sent, by conversation."""
        self._by_conversation: dict[ConversationId, tuple[Session, asyncio.Event]] = {}

    def __len__(self) -> int:
        """Return the number of open sessions."""
        return len(self._by_conversation)

    def get(self, conversation: ConversationId) -> Session | None:
        """Return the session of a conversation, None if its socket is not open here."""
        entry = self._by_conversation.get(conversation)
        return entry[0] if entry is not None else None

    def add(self, session: Session) -> asyncio.Event:
        """Register a session and replace an older one; the returned event is set when this one is replaced.

        That may be at once: a resume can wait for the streams while its client resumes on another socket.
        """
        replaced = asyncio.Event()
        current = self.get(session.conversation)
        if current is not None and is_late(session.attached, current.attached.attached_at):
            replaced.set()
            return replaced
        self._replace(session.conversation)
        self._by_conversation[session.conversation] = (session, replaced)
        _OPEN.set(len(self))
        return replaced

    def remove(self, session: Session) -> None:
        """Remove a session whose socket is closed."""
        entry = self._by_conversation.get(session.conversation)
        if entry is not None and entry[0] is session:
            del self._by_conversation[session.conversation]
            self._positions.pop(session.conversation, None)
            _OPEN.set(len(self))

    def detach(self, attached: SocketAttached) -> None:
        """Close the socket of a conversation that a newer one at another ingress has taken over.

        An announcement can arrive late, held by a server or a connection that was frozen: an older one is ignored.
        """
        session = self.get(attached.conversation)
        if session is None or is_late(attached, session.attached.attached_at):
            return
        self._replace(attached.conversation)

    def _replace(self, conversation: ConversationId) -> None:
        entry = self._by_conversation.pop(conversation, None)
        if entry is not None:
            entry[1].set()

    @property
    def attached(self) -> list[str] | None:
        """Escalated conversations with an open socket; None if they are too many for a heartbeat."""
        found = sorted(key for key in self._escalations.values if ConversationId(key) in self._by_conversation)
        return found if len(found) <= _MAX_ATTACHED else None

    # -- frames ---

    def send_initial_frames(self, session: Session) -> None:
        """Send the active notices to a new session; its queue position follows with the next publication."""
        for notice in self._notices.active("customers", tenant=session.identity.tenant):
            session.enqueue(notice_frame(notice))
        self._positions.pop(session.conversation, None)

    def publish_notice(self, message: NoticeMessage) -> None:
        """Send a notice or its recall to the customers that it applies to."""
        if message.audience == "agents":
            return
        for session, _ in list(self._by_conversation.values()):
            match message:
                case NoticeRecalled(notice=notice):
                    session.enqueue(NoticeRecalledFrame(id=notice))
                case NoticePublished() if concerns(message, now=self._now(), tenant=session.identity.tenant):
                    session.enqueue(notice_frame(message))
                case _:
                    pass

    async def publish_positions(self) -> None:
        """Send customers in the escalation queue their position when it changes, until cancelled."""
        while True:
            await next_tick(_POSITIONS_INTERVAL_S)
            escalations = self._escalations.values.values()
            local = [entry for entry in escalations if entry.conversation in self._by_conversation]
            if not local:
                continue
            queued = queue(escalations, self._now())
            positions = {entry.conversation: position for position, entry in enumerate(queued, start=1)}
            for entry in local:
                frame = PositionFrame(
                    urgency=entry.escalation.urgency,
                    position=positions.get(entry.conversation, 0),
                    claimed_by=entry.escalation.claimed_by,
                )
                if self._positions.get(entry.conversation) != frame:
                    self._positions[entry.conversation] = frame
                    self._by_conversation[entry.conversation][0].enqueue(frame)

    async def check_overdue_sessions(self) -> None:
        """Check the log for answers whose notification was lost, until cancelled."""
        while True:
            await next_tick(_CHECK_INTERVAL_S)
            now = time.monotonic()
            for session, _ in list(self._by_conversation.values()):
                if session.is_overdue(now):
                    try:
                        await session.catch_up(now)
                    except BusError as error:
                        _log.warning("session.catch_up_failed", conversation=session.conversation, error=str(error))
                        break


def notice_frame(notice: NoticePublished) -> NoticeFrame:
    """Return the frame that shows a notice to a customer."""
    return NoticeFrame(id=notice.notice, text=notice.text, severity=notice.severity, expires_at=notice.expires_at)
