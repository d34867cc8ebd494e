"""Counts of tool calls in KV TOOL_CALLS: one key per tool, customer and day, changed behind a fence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusError, FenceError
from trunkline_protocols import codec
from trunkline_protocols.context import Context
from trunkline_protocols.fleet import Tool
from trunkline_protocols.streams import DAY_S, TOOL_CALLS
from trunkline_protocols.tool_steps import ToolCallsCounted

from trunkline_agents.ports import ToolError

_STREAM: Final = f"KV_{TOOL_CALLS.name}"
_MAX_ATTEMPTS: Final = 20
"""Attempts to append: each fails only because another call of the same customer was counted in between."""


class KvCallLimits:
    """Counts calls across all processes; a call that cannot be counted is refused."""

    def __init__(self, bus: Bus, now: Callable[[], float]) -> None:
        """`now` returns Unix seconds."""
        self._bus = bus
        self._now = now

    async def admit(self, tool: Tool, context: Context, key: str) -> None:
        """Count a call; see `ports.CallLimits`."""
        limit = tool.calls_per_day
        if limit is None:
            return
        if not context.customer:
            raise ToolError(f"{tool.name} has a limit per customer, and the customer is unknown")
        subject = _subject(tool, context, day=int(self._now() // DAY_S))
        try:
            for _ in range(_MAX_ATTEMPTS):
                if await self._count(subject, key, tool, limit):
                    return
        except (BusError, codec.DecodeError) as error:
            raise ToolError(f"the calls of {tool.name} cannot be counted now") from error
        raise ToolError(f"too many calls of {tool.name} at the same time")

    async def _count(self, subject: str, key: str, tool: Tool, limit: int) -> bool:
        """Count the call; return False if another one was counted in between."""
        stored = await self._bus.last_message(_STREAM, subject)
        keys = codec.tool_calls.decode(stored.payload).keys if stored is not None else []
        if key in keys:
            return True
        if len(keys) >= limit:
            raise ToolError(f"{tool.name} has reached its limit of {limit} calls per customer and day")
        sequence = stored.seq if stored is not None else 0
        try:
            await self._bus.append(
                subject,
                codec.encode(ToolCallsCounted(keys=[*keys, key])),
                message_id=f"{subject}-{key}-{sequence}",
                fence=(subject, sequence),
            )
        except FenceError:
            return False
        return True


def _subject(tool: Tool, context: Context, *, day: int) -> str:
    customer = hashlib.sha256(f"{context.tenant}\0{context.customer}".encode()).hexdigest()[:32]
    return f"$KV.{TOOL_CALLS.name}.{day}.{customer}.{tool.name}"
