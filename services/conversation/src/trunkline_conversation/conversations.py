"""All conversations of this process: finds the one that a message belongs to, and lets it work.

Active ones have a task; idle ones keep their folded state in memory, the least recently used go first.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Gauge
from trunkline_chassis.latency import RecentLatency
from trunkline_protocols.ids import ConversationId, Instance, TurnId, partition_of, slot_of
from trunkline_protocols.turn import AgentBeat, AgentMessage, Attached, TaskClaimed

from trunkline_conversation.actor import ConversationActor, Envelope

_log: Final = structlog.get_logger(__name__)
_OPEN: Final = Gauge("trunkline_conversations_open", "Conversations in memory")

_WATCH_EVERY_S: Final = 0.1
_STALL_S: Final = 0.3


class Conversations:
    """The conversations that this process works on or remembers."""

    def __init__(
        self, create: Callable[[ConversationId], ConversationActor], *, in_memory: int, latency: RecentLatency
    ) -> None:
        """`create` makes an actor; `in_memory` bounds the idle ones."""
        self._create = create
        self._in_memory = in_memory
        self._latency = latency
        self._actors: OrderedDict[ConversationId, ConversationActor] = OrderedDict()
        self._active: dict[ConversationId, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def active(self) -> int:
        """How many conversations wait for an answer."""
        return len(self._active)

    async def run(self) -> None:
        """Watch over the active ones until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            checked_at = loop.time()
            while True:
                await asyncio.sleep(_WATCH_EVERY_S)
                now = loop.time()
                # After a stall of our own the beats of that time are still in the socket: nobody was silent.
                if now - checked_at < _STALL_S:
                    for conversation in list(self._active):
                        self._actors[conversation].watch(now)
                checked_at = now

    def offer(self, conversation: ConversationId, envelope: Envelope) -> None:
        """Hand a message to its conversation."""
        actor = self._actor(conversation)
        actor.offer(envelope)
        if conversation not in self._active and self._tasks is not None:
            self._active[conversation] = self._tasks.create_task(self._work(actor))

    async def _work(self, actor: ConversationActor) -> None:
        started = asyncio.get_running_loop().time()
        try:
            await actor.run()
        except Exception:
            # The message stays unacknowledged and comes again; the neighbours notice nothing.
            _log.exception("conversation.failed", conversation=actor.id)
            self._actors.pop(actor.id, None)
        finally:
            if self._active.get(actor.id) is asyncio.current_task():
                del self._active[actor.id]
            self._latency.add((asyncio.get_running_loop().time() - started) * 1000)
            self._forget_idle()

    def _actor(self, conversation: ConversationId) -> ConversationActor:
        actor = self._actors.get(conversation)
        if actor is None:
            actor = self._actors[conversation] = self._create(conversation)
            _OPEN.set(len(self._actors))
        self._actors.move_to_end(conversation)
        return actor

    def _forget_idle(self) -> None:
        surplus = len(self._actors) - self._in_memory
        if surplus <= 0:
            return
        idle = [conversation for conversation in self._actors if conversation not in self._active]
        for conversation in idle[:surplus]:
            del self._actors[conversation]
        _OPEN.set(len(self._actors))

    # -- from agents and ingresses ---

    def hear(self, message: AgentMessage) -> None:
        """Pass on what an agent says."""
        now = asyncio.get_running_loop().time()
        if isinstance(message, AgentBeat):
            for turn in message.turns:
                actor = self._actors.get(_conversation_of(turn))
                if actor is not None:
                    actor.beat(now)
            return
        actor = self._actors.get(message.conversation)
        if actor is None:
            _log.info("turn.foreign_result", conversation=message.conversation)
        elif isinstance(message, TaskClaimed):
            actor.claimed(message, now)
        else:
            actor.result(message)

    def attach(self, attached: Attached) -> None:
        """Send commits of a conversation to another ingress from now on."""
        actor = self._actors.get(attached.conversation)
        if actor is not None:
            actor.ingress = Instance(attached.ingress)

    # -- slots and shutdown ---

    def lose_slot(self, slot: int) -> None:
        """Another process has these conversations now: stop working on them. The fence covers what is under way."""
        for conversation in list(self._actors):
            if slot_of(partition_of(conversation)) == slot:
                task = self._active.pop(conversation, None)
                if task is not None:
                    task.cancel()
                del self._actors[conversation]

    async def finish(self, timeout_s: float) -> None:
        """Wait for the turns under way; what is not finished in time is delivered again elsewhere."""
        waiting = list(self._active.values())
        if waiting:
            _, unfinished = await asyncio.wait(waiting, timeout=timeout_s)
            if unfinished:
                _log.warning("conversations.unfinished", turns=len(unfinished))


def _conversation_of(turn: TurnId) -> ConversationId:
    return ConversationId(turn.rpartition("-")[0])
