"""Tool ledger in KV TOOLS: the first attempt to record a step determines its calls."""

from __future__ import annotations

from typing import Final

from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import FenceError
from trunkline_protocols import codec
from trunkline_protocols.completion import ToolStep, ToolStepRecorded
from trunkline_protocols.streams import TOOLS
from trunkline_protocols.turn import AnswerTurn

_STREAM: Final = f"KV_{TOOLS.name}"


class KvToolLedger:
    """Tool ledger with one key per step."""

    def __init__(self, bus: Bus) -> None:
        """`bus` is the connection of the process."""
        self._bus = bus

    async def steps(self, request: AnswerTurn) -> list[ToolStepRecorded]:
        """Return the recorded steps of a turn, in order."""
        found: list[ToolStepRecorded] = []
        while (stored := await self._bus.last_message(_STREAM, _subject(request, len(found)))) is not None:
            found.append(codec.tool_step.decode(stored.payload))
        return found

    async def begin(self, request: AnswerTurn, number: int, step: ToolStep, by: str) -> ToolStepRecorded:
        """Record a step before its execution; return the one that another attempt has recorded first, if any."""
        subject = _subject(request, number)
        recorded = ToolStepRecorded(step=step, by=by)
        try:
            await self._bus.append(subject, codec.encode(recorded), message_id=f"{subject}-{by}", fence=(subject, 0))
        except FenceError:
            stored = await self._bus.last_message(_STREAM, subject)
            if stored is None:
                raise
            return codec.tool_step.decode(stored.payload)
        return recorded

    async def end(self, request: AnswerTurn, number: int, step: ToolStep, by: str) -> None:
        """Record the outcomes of a step."""
        subject = _subject(request, number)
        recorded = ToolStepRecorded(step=step, by=by)
        await self._bus.append(subject, codec.encode(recorded), message_id=f"{subject}-{by}-done")


def _subject(request: AnswerTurn, number: int) -> str:
    return f"$KV.{TOOLS.name}.{request.ref.turn}.{request.ref.hop}.{number}"
