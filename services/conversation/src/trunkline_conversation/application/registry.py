"""All conversations of this process: finds the one that a message belongs to, and lets it work.

Active ones have a task; idle ones keep their folded state in memory up to a budget, the least recently used go first:
the log is the page file, the next message brings them back.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Gauge
from trunkline_chassis.cache_metrics import CACHE_HITS, CACHE_MISSES
from trunkline_chassis.latency import RecentLatency
from trunkline_protocols.ids import ConversationId, Instance, TurnId, partition_of, slot_of
from trunkline_protocols.turn import AgentBeat, AgentMessage, SocketAttached, TaskClaimed

from trunkline_conversation.application.actor import ConversationActor, Envelope

_log: Final = structlog.get_logger(__name__)
_OPEN: Final = Gauge("trunkline_conversations_in_memory", "ConversationRegistry that this process remembers")
_BYTES: Final = Gauge("trunkline_conversations_bytes", "About how much memory they hold")

_WATCH_EVERY_S: Final = 0.1
_STALL_S: Final = 0.3
_FINISHING_LOOK_S: Final = 0.02
_FINISHING_LOOKS: Final = 500


class ConversationRegistry:
    """The conversations that this process works on or remembers."""

    def __init__(
        self,
        create: Callable[[ConversationId], ConversationActor],
        *,
        finished_elsewhere: Callable[[ConversationId], bool],
        on_let_go: Callable[[], None],
        budget_bytes: int,
        latency: RecentLatency,
    ) -> None:
        """`create` makes an actor; `budget_bytes` bounds what all of them hold, but for the active ones.

        `finished_elsewhere` says whether another process still finishes a conversation's turn; `on_let_go` hears when
        what this process tells of that, `finishing`, has changed.
        """
        self._create = create
        self._finished_elsewhere = finished_elsewhere
        self._on_let_go = on_let_go
        self._budget_bytes = budget_bytes
        self._held_bytes = 0
        self._sizes: dict[ConversationId, int] = {}
        self._latency = latency
        self._actors: OrderedDict[ConversationId, ConversationActor] = OrderedDict()
        self._active: dict[ConversationId, asyncio.Task[None]] = {}
        self._leaving: set[ConversationId] = set()
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

    def offer(self, conversation: ConversationId, envelope: Envelope, *, standing_in: bool = False) -> None:
        """Hand a message to its conversation; `standing_in` for who holds its slot, it is let go afterwards."""
        actor = self._actor(conversation)
        actor.offer(envelope)
        if standing_in:
            self._leaving.add(conversation)
            self._on_let_go()
        if conversation not in self._active and self._tasks is not None:
            self._active[conversation] = self._tasks.create_task(self._work(actor))

    async def _work(self, actor: ConversationActor) -> None:
        started = asyncio.get_running_loop().time()
        try:
            await self._wait_while_finished_elsewhere(actor.id)
            await actor.run()
        except Exception:
            # The message stays unacknowledged and comes again; the neighbours notice nothing.
            _log.exception("conversation.failed", conversation=actor.id)
            self._forget(actor.id)
        finally:
            if self._active.get(actor.id) is asyncio.current_task():
                del self._active[actor.id]
            self._latency.add((asyncio.get_running_loop().time() - started) * 1000)
            self._weigh(actor)
            if actor.id in self._leaving:
                self._leave(actor.id)
            self._forget_idle()

    def _actor(self, conversation: ConversationId) -> ConversationActor:
        actor = self._actors.get(conversation)
        if actor is None:
            CACHE_MISSES.labels("conversations").inc()
            actor = self._actors[conversation] = self._create(conversation)
            _OPEN.set(len(self._actors))
        else:
            CACHE_HITS.labels("conversations").inc()
        self._actors.move_to_end(conversation)
        return actor

    # -- memory ---

    def _weigh(self, actor: ConversationActor) -> None:
        if actor.id in self._actors:
            size = actor.footprint_bytes
            self._held_bytes += size - self._sizes.get(actor.id, 0)
            self._sizes[actor.id] = size

    def _forget_idle(self) -> None:
        """Let the least recently used go until the rest fits; one that works now stays, however old."""
        for conversation in self._idle_beyond_budget():
            self._forget(conversation)
        _OPEN.set(len(self._actors))
        _BYTES.set(self._held_bytes)

    def _idle_beyond_budget(self) -> list[ConversationId]:
        """Look from the oldest on, and no further than is needed: this happens with every turn once memory is full."""
        found, left_bytes = [], self._held_bytes
        for conversation in self._actors:
            if left_bytes <= self._budget_bytes:
                break
            if conversation not in self._active:
                found.append(conversation)
                left_bytes -= self._sizes.get(conversation, 0)
        return found

    def _forget(self, conversation: ConversationId) -> None:
        self._actors.pop(conversation, None)
        self._held_bytes -= self._sizes.pop(conversation, 0)

    # -- from agents and ingresses ---

    def on_agent_message(self, message: AgentMessage) -> None:
        """Pass on what an agent says."""
        now = asyncio.get_running_loop().time()
        if isinstance(message, AgentBeat):
            for turn in message.turns:
                actor = self._actors.get(_conversation_of(turn))
                if actor is not None:
                    actor.beat(now)
            return
        actor = self._actors.get(message.ref.conversation)
        if actor is None:
            _log.info("turn.foreign_result", conversation=message.ref.conversation)
        elif isinstance(message, TaskClaimed):
            actor.claimed(message, now)
        else:
            actor.result(message)

    def is_active(self, conversation: ConversationId) -> bool:
        """Whether something of this conversation is worked on."""
        return conversation in self._active

    def attach(self, attached: SocketAttached) -> None:
        """Send commits of a conversation to another ingress from now on."""
        actor = self._actors.get(attached.conversation)
        if actor is not None:
            actor.attached(Instance(attached.ingress))

    # -- slots and shutdown ---

    def release_slot(self, slot: int) -> None:
        """Let these conversations go: turns under way are finished here, everything after them elsewhere.

        The fence covers the turns that another process has begun before it could know that they are finished here.
        """
        for conversation, actor in list(self._actors.items()):
            if slot_of(partition_of(conversation)) == slot:
                if conversation in self._active:
                    actor.release()
                    self._leaving.add(conversation)
                else:
                    self._forget(conversation)
        self._on_let_go()

    def _leave(self, conversation: ConversationId) -> None:
        self._leaving.discard(conversation)
        self._forget(conversation)
        self._on_let_go()

    @property
    def under_way(self) -> list[str]:
        """ConversationRegistry that wait for an answer."""
        return sorted(self._active)

    @property
    def finishing(self) -> list[str]:
        """ConversationRegistry that are let go when their turn under way is finished."""
        return sorted(self._leaving)

    async def _wait_while_finished_elsewhere(self, conversation: ConversationId) -> None:
        """Let the process that had the conversation before finish its turn, so that nobody begins it a second time."""
        for _ in range(_FINISHING_LOOKS):
            if not self._finished_elsewhere(conversation):
                return
            await asyncio.sleep(_FINISHING_LOOK_S)

    async def finish(self, timeout_s: float) -> None:
        """Wait for the turns under way; what is not finished in time is delivered again elsewhere."""
        waiting = list(self._active.values())
        if waiting:
            _, unfinished = await asyncio.wait(waiting, timeout=timeout_s)
            if unfinished:
                _log.warning("conversations.unfinished", turns=len(unfinished))


def _conversation_of(turn: TurnId) -> ConversationId:
    return ConversationId(turn.rpartition("-")[0])
