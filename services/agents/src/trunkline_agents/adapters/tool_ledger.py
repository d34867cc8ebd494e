"""The steps of turns with tools that write, in KV TOOLS: who notes a step first decides what it is."""

from __future__ import annotations

from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import FenceError
from trunkline_protocols import codec
from trunkline_protocols.completion import ToolStep, ToolStepNoted
from trunkline_protocols.streams import TOOLS
from trunkline_protocols.turn import AnswerTurn

_STREAM = f"KV_{TOOLS.name}"


class KvToolLedger:
    """Notes in KV."""

    def __init__(self, bus: Bus) -> None:
        """Use the process' connection."""
        self._bus = bus

    async def steps(self, request: AnswerTurn) -> list[ToolStepNoted]:
        """Return the steps of a piece of work so far, in order."""
        found: list[ToolStepNoted] = []
        while (stored := await self._bus.last_message(_STREAM, _subject(request, len(found)))) is not None:
            found.append(codec.tool_step.decode(stored.payload))
        return found

    async def begin(self, request: AnswerTurn, number: int, step: ToolStep, by: str) -> ToolStepNoted:
        """Note a step that is about to be done; returns the one that another try has noted before, if any."""
        subject = _subject(request, number)
        noted = ToolStepNoted(step=step, by=by)
        try:
            await self._bus.append(subject, codec.encode(noted), message_id=f"{subject}-{by}", fence=(subject, 0))
        except FenceError:
            stored = await self._bus.last_message(_STREAM, subject)
            if stored is None:
                raise
            return codec.tool_step.decode(stored.payload)
        return noted

    async def end(self, request: AnswerTurn, number: int, step: ToolStep, by: str) -> None:
        """Note what came of a step."""
        subject = _subject(request, number)
        noted = ToolStepNoted(step=step, by=by)
        await self._bus.append(subject, codec.encode(noted), message_id=f"{subject}-{by}-done")


def _subject(request: AnswerTurn, number: int) -> str:
    return f"$KV.{TOOLS.name}.{request.ref.turn}.{request.ref.hop}.{number}"
