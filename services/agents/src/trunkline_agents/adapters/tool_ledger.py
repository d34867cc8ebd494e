"""Tool ledger in KV TOOLS: the first attempt to record a step determines its calls."""

from __future__ import annotations

from typing import Final

from trunkline_chassis.bus import Bus, StreamMessage
from trunkline_chassis.errors import BusRefusedError, FenceError, TextsErasedError
from trunkline_chassis.texts import NO_KEYS, Texts
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec
from trunkline_protocols.streams import TOOLS
from trunkline_protocols.tool_steps import ToolStep, ToolStepRecorded
from trunkline_protocols.turn import AnswerTurn

_STREAM: Final = f"KV_{TOOLS.name}"


class KvToolLedger:
    """Tool ledger with one key per step."""

    def __init__(self, bus: Bus, texts: Texts = NO_KEYS) -> None:
        """Use the connection of the process, and the keys of customers."""
        self._bus = bus
        self._texts = texts

    async def steps(self, request: AnswerTurn) -> list[ToolStepRecorded]:
        """Return the recorded steps of a turn, in order."""
        found: list[ToolStepRecorded] = []
        while (stored := await self._bus.last_message(_STREAM, _subject(request, len(found)))) is not None:
            found.append(await self._decode(stored))
        return found

    async def begin(self, request: AnswerTurn, number: int, step: ToolStep, by: str) -> ToolStepRecorded:
        """Record a step before its execution; return the one that another attempt has recorded first, if any."""
        subject = _subject(request, number)
        recorded = ToolStepRecorded(step=step, by=by, key=request.key)
        try:
            payload = await self._encode(recorded)
            await self._bus.append(subject, payload, message_id=f"{subject}-{by}", fence=(subject, 0))
        except FenceError:
            stored = await self._bus.last_message(_STREAM, subject)
            if stored is None:
                raise
            return await self._decode(stored)
        return recorded

    async def end(self, request: AnswerTurn, number: int, step: ToolStep, by: str) -> None:
        """Record the outcomes of a step."""
        subject = _subject(request, number)
        recorded = ToolStepRecorded(step=step, by=by, key=request.key)
        await self._bus.append(subject, await self._encode(recorded), message_id=f"{subject}-{by}-done")

    async def _encode(self, recorded: ToolStepRecorded) -> bytes:
        """Return a step as it is stored; raise `BusRefusedError` if the customer's key is destroyed."""
        try:
            return codec.encode(await self._texts.encrypt(recorded))
        except TextsErasedError as error:
            raise BusRefusedError(0, "the customer's data was erased") from error

    async def _decode(self, stored: StreamMessage) -> ToolStepRecorded:
        """Return a recorded step; raise `BusRefusedError` if it cannot be decoded: its calls may have been made."""
        try:
            return await self._texts.decrypt(codec.tool_step.decode(stored.payload))
        except codec.DecodeError as error:
            report_undecodable("tools", stored.subject, error, sequence=stored.seq)
            raise BusRefusedError(0, f"{stored.subject} cannot be decoded") from error
        except TextsErasedError as error:
            raise BusRefusedError(0, "the customer's data was erased") from error


def _subject(request: AnswerTurn, number: int) -> str:
    return f"$KV.{TOOLS.name}.{request.ref.turn}.{request.ref.hop}.{number}"
