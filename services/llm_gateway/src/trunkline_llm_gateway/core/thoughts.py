"""Thoughts: separation of the text that a model writes for itself, between tags like <think> and </think>.

Thoughts are never shown. The same holds for tool calls that a server without a parser for them leaves in the text. A
tag may be cut anywhere, so the beginning of one is held back until it is known to be a tag or text.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

_CLOSING_TAGS: Final = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "[THINK]": "[/THINK]",
    "<tool_call>": "</tool_call>",
    "[TOOL_CALLS]": "[/TOOL_CALLS]",
}
_CLOSING: Final = tuple(_CLOSING_TAGS.values())
_ALL: Final = (*_CLOSING_TAGS, *_CLOSING)
_LONGEST: Final = max(map(len, _ALL))


class UnopenedThoughtError(ValueError):
    """A closing tag without an opening one: the text before it was a thought, and has been returned."""


class ThoughtFilter:
    """Removes the thoughts from one text."""

    def __init__(self, *, starts_inside: bool = False) -> None:
        """`starts_inside` if the prompt of the model contains the opening tag, so that only the closing one follows."""
        self.hidden: list[str] = []
        """Pieces of the thoughts so far."""
        self.is_unopened = False
        """A thought was closed that had not been opened, and none of it had been returned."""
        self._until: Collection[str] = _CLOSING if starts_inside else ()
        """Closing tags that end the current thought; none outside of thoughts."""
        self._held = ""
        self._has_returned = False
        self._follows_thought = False

    def add(self, piece: str) -> str:
        """Take the next piece; return its text as far as it is known to be for the reader.

        Raises `UnopenedThoughtError` if the text that was returned so far turns out to be a thought.
        """
        if not self._held and not self._until and "<" not in piece and "[" not in piece:
            return self._returned(piece)
        text, self._held = self._held + piece, ""
        shown = ""
        while text:
            position, tag = _next_tag(text, self._until or _ALL)
            if self._until:
                self.hidden.append(text[:position])
            else:
                shown += text[:position]
            if not tag:
                self._held = text[position:]
                break
            shown = self._pass(tag, shown)
            text = text[position + len(tag) :]
        return self._returned(shown)

    def end(self) -> str:
        """Return text that was held back; a thought that was not closed has none."""
        held, self._held = self._held, ""
        if self._until:
            self.hidden.append(held)
            return ""
        return self._returned(held)

    def _pass(self, tag: str, shown: str) -> str:
        """Enter or leave a thought; return the text that may still be returned."""
        if self._until:
            self._until, self._follows_thought = (), True
            return shown
        if tag in _CLOSING_TAGS:
            self._until = (_CLOSING_TAGS[tag],)
            return shown
        if self._has_returned:
            raise UnopenedThoughtError(tag)
        self.hidden.append(shown)
        self._follows_thought = self.is_unopened = True
        return ""

    def _returned(self, text: str) -> str:
        """Return a text, without white space between a first thought and the answer."""
        if self._follows_thought and not self._has_returned:
            text = text.lstrip()
        self._has_returned = self._has_returned or not (not text or text.isspace())
        return text


def _next_tag(text: str, tags: Collection[str]) -> tuple[int, str]:
    """Return the position of the first tag and the tag, else of what may be the beginning of one and an empty text."""
    found = [(position, tag) for tag in tags if (position := text.find(tag)) >= 0]
    if found:
        return min(found)
    for position in range(max(0, len(text) - _LONGEST + 1), len(text)):
        if text[position] in "<[" and any(tag.startswith(text[position:]) for tag in tags):
            return position, ""
    return len(text), ""
