"""How the text of one model goes on in the words of another: nothing missing, nothing twice.

A model that continues is given the text so far without the white space at its end (some refuse it, others write it
again), and some begin by repeating what they were given. So the beginning of a continuation is held back until it is
clear which of these it is.
"""

from __future__ import annotations

from typing import Final

SHORTEST_ECHO: Final = 12
"""A beginning that is the same by chance is no repetition; one of so many characters is no chance."""


class Continuation:
    """Sifts the pieces that follow a text: first a repetition of it, then the white space at the seam."""

    def __init__(self, written: str) -> None:
        """`written` is the text so far."""
        self.given = written.rstrip()
        """What the model is shown of it."""
        self._blank = written[len(self.given) :]
        self._held = ""
        self._may_repeat = len(self.given) >= SHORTEST_ECHO

    def add(self, piece: str) -> str:
        """Take the next piece; returns what of it is new, as far as that is clear already."""
        if self._may_repeat:
            self._held += piece
            heard = self._bare(self._held)
            if len(heard) < len(self.given) and self.given.startswith(heard):
                return ""
            piece = self._unheld()
        return self._without_blank(piece) if self._blank else piece

    def end(self) -> str:
        """Return what was still held back when the model had finished."""
        return self._without_blank(self._unheld())

    def _unheld(self) -> str:
        """Give free what was held back, without the repetition if it is one."""
        self._may_repeat = False
        held, self._held = self._held, ""
        heard = self._bare(held)
        return heard[len(self.given) :] if self.given and heard.startswith(self.given) else held

    def _bare(self, said: str) -> str:
        return said if self.given[:1].isspace() else said.lstrip()

    def _without_blank(self, piece: str) -> str:
        """Drop the white space that was shown already; the first character that differs ends the seam."""
        same = 0
        for shown, said in zip(self._blank, piece, strict=False):
            if shown != said:
                self._blank = ""
                return piece[same:]
            same += 1
        self._blank = self._blank[same:]
        return piece[same:]
