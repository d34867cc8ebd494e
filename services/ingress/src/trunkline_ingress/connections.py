"""All open conversations of this ingress, and what comes for them from the line."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog
from nats.aio.msg import Msg
from prometheus_client import Gauge
from trunkline_chassis.errors import BusError
from trunkline_protocols import codec
from trunkline_protocols.ids import ConversationId, Instance, InvalidIdError
from trunkline_protocols.turn import Attached

from trunkline_ingress.connection import Connection

_log: Final = structlog.get_logger(__name__)
_OPEN: Final = Gauge("trunkline_conversations_open", "Conversations with an open socket")

_WATCH_EVERY_S: Final = 0.5


class Connections:
    """The open conversations, by their id. The newest socket of a conversation wins."""

    def __init__(self, instance: Instance) -> None:
        """`instance` is this ingress' own name."""
        self._instance = instance
        self._by_conversation: dict[ConversationId, tuple[Connection, asyncio.Event]] = {}

    def __len__(self) -> int:
        """How many sockets have a conversation."""
        return len(self._by_conversation)

    def add(self, connection: Connection) -> asyncio.Event:
        """Register a socket; the one before is told to leave. The returned event is set when this one has to."""
        self.leave(connection.conversation)
        replaced = asyncio.Event()
        self._by_conversation[connection.conversation] = (connection, replaced)
        _OPEN.set(len(self))
        return replaced

    def remove(self, connection: Connection) -> None:
        """Forget a socket that is closed."""
        entry = self._by_conversation.get(connection.conversation)
        if entry is not None and entry[0] is connection:
            del self._by_conversation[connection.conversation]
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
            attached: Attached = codec.attached.decode(message.data)
        except (codec.DecodeError, InvalidIdError) as error:
            _log.error("attach.unreadable", subject=message.subject, error=str(error))
            return
        if attached.ingress != self._instance:
            self.leave(attached.conversation)

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
