"""Continuation of a text by another model: nothing missing, nothing duplicated.

A model that continues is given the text without its trailing white space (some reject it, others write it again), and
some models begin by echoing their prefix. Therefore the beginning of a continuation is held back until it is known to
be an echo or new text.
"""

from __future__ import annotations

from typing import Final

MIN_ECHO_CHARACTERS: Final = 12
"""A shorter common beginning may be a coincidence; from this length on it is an echo."""


class Continuation:
    """Filters the pieces that follow a text: first an echo of it, then the white space at the seam."""

    def __init__(self, text: str) -> None:
        """`text` is the text so far."""
        self.prefix = text.rstrip()
        """The part of it that the model is given."""
        self._shown_blank = text[len(self.prefix) :]
        self._held = ""
        self._may_echo = len(self.prefix) >= MIN_ECHO_CHARACTERS

    def add(self, piece: str) -> str:
        """Take the next piece; return its new text as far as it is known to be new."""
        if self._may_echo:
            self._held += piece
            begun = self._strip_leading(self._held)
            if len(begun) < len(self.prefix) and self.prefix.startswith(begun):
                return ""
            piece = self._release()
        return self._drop_shown_blank(piece) if self._shown_blank else piece

    def end(self) -> str:
        """Return the new text that is still held back when the model has finished."""
        return self._drop_shown_blank(self._release())

    def _release(self) -> str:
        """Return the held text, without the echo if it is one."""
        self._may_echo = False
        held, self._held = self._held, ""
        begun = self._strip_leading(held)
        return begun[len(self.prefix) :] if self.prefix and begun.startswith(self.prefix) else held

    def _strip_leading(self, text: str) -> str:
        return text if self.prefix[:1].isspace() else text.lstrip()

    def _drop_shown_blank(self, piece: str) -> str:
        """Drop white space that was already shown; the first differing character ends the seam."""
        same = 0
        for shown, written in zip(self._shown_blank, piece, strict=False):
            if shown != written:
                self._shown_blank = ""
                return piece[same:]
            same += 1
        self._shown_blank = self._shown_blank[same:]
        return piece[same:]
