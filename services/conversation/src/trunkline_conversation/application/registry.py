"""Registry of the conversations of this process: routes messages to actors and bounds their memory.

An active conversation has a task. Idle ones keep their state in memory up to a budget and are evicted least recently
used first; the next message loads an evicted one from the log.
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
from trunkline_chassis.ticks import next_tick
from trunkline_protocols.ids import ConversationId, TurnId, partition_of, slot_of
from trunkline_protocols.turn import AgentHeartbeat, AgentMessage, SocketAttached

from trunkline_conversation.application.actor import ConversationActor, Envelope, erased

_log: Final = structlog.get_logger(__name__)
_OPEN: Final = Gauge("trunkline_conversations_in_memory", "Conversations held in memory")
_BYTES: Final = Gauge("trunkline_conversations_bytes", "Estimated memory of the conversations held in memory, in bytes")

_CHECK_INTERVAL_S: Final = 0.1
_MAX_STALL_S: Final = 0.3
"""Longest gap between two checks after which timeouts are still trusted."""
_FINISHING_POLL_INTERVAL_S: Final = 0.02
_MAX_FINISHING_POLLS: Final = 500


class ConversationRegistry:
    """The conversations that this process works on or holds in memory."""

    def __init__(
        self,
        create: Callable[[ConversationId], ConversationActor],
        *,
        is_finishing_elsewhere: Callable[[ConversationId], bool],
        on_finishing_changed: Callable[[], None],
        budget_bytes: int,
        latency: RecentLatency,
    ) -> None:
        """Create actors with `create`; `budget_bytes` bounds the memory of all of them, except the active ones.

        `is_finishing_elsewhere` returns whether another process still finishes a turn of a conversation.
        `on_finishing_changed` is called when `finishing` has changed, so that it can be published.
        """
        self._create = create
        self._is_finishing_elsewhere = is_finishing_elsewhere
        self._on_finishing_changed = on_finishing_changed
        self._budget_bytes = budget_bytes
        self._held_bytes = 0
        self._sizes: dict[ConversationId, int] = {}
        self._latency = latency
        self._actors: OrderedDict[ConversationId, ConversationActor] = OrderedDict()
        self._active: dict[ConversationId, asyncio.Task[None]] = {}
        self._finishing: set[ConversationId] = set()
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def active(self) -> int:
        """Number of conversations with an in-flight message."""
        return len(self._active)

    async def run(self) -> None:
        """Run active conversations and check their timeouts until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            checked_at = loop.time()
            while True:
                await next_tick(_CHECK_INTERVAL_S)
                now = loop.time()
                # After a stall of this process, heartbeats of that time are still in the socket: no agent is lost.
                if now - checked_at < _MAX_STALL_S:
                    for conversation in list(self._active):
                        self._actors[conversation].check_timeouts(now)
                checked_at = now

    def offer(self, conversation: ConversationId, envelope: Envelope, *, standing_in: bool = False) -> None:
        """Pass a message to its conversation; `standing_in` for an unheld slot evicts the conversation afterwards."""
        actor = self._actor(conversation)
        actor.offer(envelope)
        if standing_in:
            self._finishing.add(conversation)
            self._on_finishing_changed()
        if conversation not in self._active and self._tasks is not None:
            self._active[conversation] = self._tasks.create_task(self._run_actor(actor))

    async def _run_actor(self, actor: ConversationActor) -> None:
        started = asyncio.get_running_loop().time()
        try:
            await self._wait_while_finishing_elsewhere(actor.id)
            await actor.run()
        except Exception:  # others must go on; the message is unacknowledged and redelivered
            _log.exception("conversation.failed", conversation=actor.id)
            self._evict(actor.id)
        finally:
            if self._active.get(actor.id) is asyncio.current_task():
                del self._active[actor.id]
            self._latency.add((asyncio.get_running_loop().time() - started) * 1000)
            self._update_footprint(actor)
            if actor.id in self._finishing:
                self._end_finishing(actor.id)
            self._evict_idle()

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

    def _update_footprint(self, actor: ConversationActor) -> None:
        if actor.id in self._actors:
            size = actor.footprint_bytes
            self._held_bytes += size - self._sizes.get(actor.id, 0)
            self._sizes[actor.id] = size

    def _evict_idle(self) -> None:
        """Evict the least recently used conversations until the rest fits the budget; active ones stay."""
        for conversation in self._idle_beyond_budget():
            self._evict(conversation)
        _OPEN.set(len(self._actors))
        _BYTES.set(self._held_bytes)

    def _idle_beyond_budget(self) -> list[ConversationId]:
        """Return the idle conversations to evict, oldest first; stops early because it runs with every turn."""
        found, remaining_bytes = [], self._held_bytes
        for conversation in self._actors:
            if remaining_bytes <= self._budget_bytes:
                break
            if conversation not in self._active:
                found.append(conversation)
                remaining_bytes -= self._sizes.get(conversation, 0)
        return found

    def _evict(self, conversation: ConversationId) -> None:
        self._actors.pop(conversation, None)
        self._held_bytes -= self._sizes.pop(conversation, 0)

    # -- erasures ---

    def on_erased(self, key: str) -> None:
        """End the conversations in memory whose texts have a destroyed key, and forget their texts."""
        for conversation, actor in list(self._actors.items()):
            if actor.text_key == key:
                self.offer(conversation, erased())

    # -- messages of agents and ingresses ---

    def on_agent_message(self, message: AgentMessage) -> None:
        """Pass a message of an agent to its conversation."""
        now = asyncio.get_running_loop().time()
        if isinstance(message, AgentHeartbeat):
            for turn in message.turns:
                actor = self._actors.get(_conversation_of(turn))
                if actor is not None:
                    actor.on_heartbeat(now)
            for ref in message.claimed:
                actor = self._actors.get(ref.conversation)
                if actor is not None:
                    actor.on_claimed(ref, now)
            return
        actor = self._actors.get(message.ref.conversation)
        if actor is None:
            _log.info("result.unexpected", conversation=message.ref.conversation)
        else:
            actor.on_result(message)

    def is_active(self, conversation: ConversationId) -> bool:
        """Return whether a conversation has an in-flight message."""
        return conversation in self._active

    def on_socket_attached(self, attached: SocketAttached) -> None:
        """Send later commits of a conversation to the ingress that holds its socket now."""
        actor = self._actors.get(attached.conversation)
        if actor is not None:
            actor.on_socket_attached(attached)

    # -- slots and shutdown ---

    def release_slot(self, slot: int) -> None:
        """Release a slot: finish in-flight turns here; later messages go to the new owner.

        The new owner may start a turn before it learns that it is finished here; the fence prevents a second answer.
        """
        for conversation, actor in list(self._actors.items()):
            if slot_of(partition_of(conversation)) == slot:
                if conversation in self._active:
                    actor.release()
                    self._finishing.add(conversation)
                else:
                    self._evict(conversation)
        self._on_finishing_changed()

    def _end_finishing(self, conversation: ConversationId) -> None:
        self._finishing.discard(conversation)
        self._evict(conversation)
        self._on_finishing_changed()

    @property
    def in_flight(self) -> list[str]:
        """Conversations with an in-flight message."""
        return sorted(self._active)

    @property
    def finishing(self) -> list[str]:
        """Conversations whose in-flight turn is finished here although their slot is not held here."""
        return sorted(self._finishing)

    async def _wait_while_finishing_elsewhere(self, conversation: ConversationId) -> None:
        """Wait up to 10 s for the previous owner to finish its in-flight turn, so that it is not started twice."""
        for _ in range(_MAX_FINISHING_POLLS):
            if not self._is_finishing_elsewhere(conversation):
                return
            await asyncio.sleep(_FINISHING_POLL_INTERVAL_S)

    async def finish(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for in-flight turns; unfinished ones are redelivered to another process."""
        running = list(self._active.values())
        if running:
            _, unfinished = await asyncio.wait(running, timeout=timeout_s)
            if unfinished:
                _log.warning("conversations.unfinished", turns=len(unfinished))


def _conversation_of(turn: TurnId) -> ConversationId:
    return ConversationId(turn.rpartition("-")[0])
