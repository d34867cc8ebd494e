"""Which deltas a customer may see: those of the latest try, none after the final text, and never two mixed."""

from __future__ import annotations

from collections import deque
from typing import Final

from trunkline_protocols.frames import DeltaFrame, MessageFrame
from trunkline_protocols.turn import Delta

_REMEMBERED_TURNS: Final = 32


class Streaming:
    """The text that is being written in one conversation."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._turn = ""
        self._generation = (-1, -1)
        self._source = ""
        self._shown = ""
        self._done: deque[str] = deque(maxlen=_REMEMBERED_TURNS)

    def delta(self, delta: Delta) -> DeltaFrame | None:
        """Return what to show for a piece, None for nothing."""
        if delta.ref.turn in self._done:
            return None
        generation = (delta.ref.hop, delta.ref.attempt)
        if delta.ref.turn != self._turn:
            self._turn, self._generation, self._source, self._shown = delta.ref.turn, (-1, -1), "", ""
        if generation < self._generation:
            return None
        if delta.replace:
            self._generation, self._source, self._shown = generation, delta.source, delta.text
            return DeltaFrame(turn=delta.ref.turn, text=delta.text, replace=True)
        if generation != self._generation or delta.source != self._source:
            # Its beginning was not seen here: the final text will be.
            return None
        self._shown += delta.text
        return DeltaFrame(turn=delta.ref.turn, text=delta.text)

    def final(self, message: MessageFrame) -> DeltaFrame | None:
        """Close a turn; returns the correction to show before its text when something else was being written."""
        self._done.append(message.turn)
        if message.turn != self._turn:
            return None
        shown, self._shown = self._shown, ""
        return None if message.text.startswith(shown) else DeltaFrame(turn=message.turn, text="", replace=True)
