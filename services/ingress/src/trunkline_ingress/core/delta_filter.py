"""Filter of the deltas of one conversation: only the latest attempt, never two mixed, none after the final text."""

from __future__ import annotations

from collections import deque
from typing import Final

from trunkline_protocols.frames import DeltaFrame, MessageFrame
from trunkline_protocols.turn import Delta

_MAX_FINISHED_TURNS: Final = 32


class DeltaFilter:
    """The partial text that the customer of one conversation currently sees."""

    def __init__(self) -> None:
        """Start without a turn in progress."""
        self._turn = ""
        self._generation = (-1, -1)
        self._source = ""
        self._shown = ""
        self._finished: deque[str] = deque(maxlen=_MAX_FINISHED_TURNS)

    def filter(self, delta: Delta) -> DeltaFrame | None:
        """Return the frame to send for a delta, None if it must be dropped."""
        if delta.ref.turn in self._finished:
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
            # The beginning of this text was missed; the customer sees it with the final message.
            return None
        self._shown += delta.text
        return DeltaFrame(turn=delta.ref.turn, text=delta.text)

    def finish(self, message: MessageFrame) -> DeltaFrame | None:
        """Finish a turn; return the delta to send before its message, None if the shown text needs none.

        The gateway does not send the end of a text: its rest is the last delta. If a different text was shown, it is
        removed. If nothing was shown, the message shows all.
        """
        self._finished.append(message.turn)
        if message.turn != self._turn:
            return None
        shown, self._shown = self._shown, ""
        if not message.text.startswith(shown):
            return DeltaFrame(turn=message.turn, text="", replace=True)
        if not shown or shown == message.text:
            return None
        return DeltaFrame(turn=message.turn, text=message.text[len(shown) :])
