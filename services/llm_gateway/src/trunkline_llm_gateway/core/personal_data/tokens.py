"""Tokens such as `[card_1]` that stand for personal data within one request, and their replacement by the data.

A customer may write such a token too. Its number is then left out, so that it stands for nothing and stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from trunkline_protocols.decoding import DecodeError, Decoder, encode

from trunkline_llm_gateway.core.personal_data.spans import KINDS, Kind, Span

# Models write capitals, and the backslash that Markdown has before `_`; JSON doubles it.
_TOKEN: Final = re.compile(rf"\[({'|'.join(KINDS)})(\\{{0,2}})_([1-9][0-9]{{0,5}})\]", re.IGNORECASE)

_JSON_PART: Final = re.compile(r'"(?:[^"\\]|\\.)*"?|[^"]+', re.DOTALL)
_JSON_NUMBER: Final = re.compile(r"(?<![\w.+-])[0-9]{7,}(?![\w.])")
_text: Final[Decoder[str]] = Decoder(str)

Find: TypeAlias = Callable[[str], Sequence[Span]]
"""Returns the personal data of a text in reading order, without overlaps."""


class Masker:
    """The tokens of one request: an equal value has an equal token in all of its texts."""

    def __init__(self, find: Find, texts: Iterable[str]) -> None:
        """`find` detects personal data; `texts` are all that the model gets, for tokens in them."""
        self._find = find
        self._reserved = {token for text in texts for token in _tokens_in(text)}
        self._tokens: dict[tuple[Kind, str], str] = {}
        self._last: dict[Kind, int] = dict.fromkeys(KINDS, 0)

    @property
    def values(self) -> Mapping[str, str]:
        """Data by its token."""
        return {token: value for (_, value), token in self._tokens.items()}

    def mask(self, text: str) -> str:
        """Return a text with tokens in place of personal data."""
        parts: list[str] = []
        end = 0
        for span in self._find(text):
            parts += [text[end : span.start], self._token(span.kind, text[span.start : span.end])]
            end = span.end
        return "".join([*parts, text[end:]]) if parts else text

    def mask_json(self, text: str) -> str:
        """Return JSON with tokens in its strings and in place of its whole numbers; invalid JSON is masked as text."""
        return _JSON_PART.sub(lambda match: self._mask_json_part(match[0]), text)

    def _mask_json_part(self, part: str) -> str:
        if not part.startswith('"'):
            return _JSON_NUMBER.sub(lambda match: self._mask_json_number(match[0]), part)
        try:
            value = _text.decode(part)
        except DecodeError:
            return self.mask(part)
        masked = self.mask(value)
        return part if masked == value else encode(masked).decode()

    def _mask_json_number(self, number: str) -> str:
        masked = self.mask(number)
        return number if masked == number else f'"{masked}"'

    def _token(self, kind: Kind, value: str) -> str:
        token = self._tokens.get((kind, value))
        while token is None:
            self._last[kind] += 1
            free = f"[{kind}_{self._last[kind]}]"
            if free not in self._reserved:
                token = self._tokens[kind, value] = free
        return token


def unmask(text: str, values: Mapping[str, str]) -> str:
    """Return a text with the data in place of its tokens; a token that stands for nothing stays."""
    return _TOKEN.sub(lambda match: values.get(_plain(match), match[0]), text) if values else text


def unmask_json(text: str, values: Mapping[str, str]) -> str:
    """Return JSON with the data in place of the tokens in its strings."""
    return unmask(text, {token: encode(value).decode()[1:-1] for token, value in values.items()})


class StreamUnmasker:
    """Replaces tokens in a text that arrives in pieces, and holds back the beginning of one at the end of a piece."""

    def __init__(self, values: Mapping[str, str]) -> None:
        """`values` is data by its token."""
        self._values = values
        self._max_held = max(map(len, values), default=0) + 1
        """Characters of the longest token with two backslashes, less its last one."""
        self._held = ""

    def add(self, piece: str) -> str:
        """Take the next piece; return the text as far as it is known."""
        text = self._held + piece
        begin = text.rfind("[")
        self._held = text[begin:] if begin >= 0 and self._may_begin_token(text[begin:]) else ""
        return unmask(text[: len(text) - len(self._held)], self._values)

    def end(self) -> str:
        """Return what is held back when the text has ended."""
        held, self._held = self._held, ""
        return held

    def _may_begin_token(self, tail: str) -> bool:
        if len(tail) > self._max_held:
            return False
        plain = tail.lower().replace("\\", "")
        return any(token.startswith(plain) and token != plain for token in self._values)


def _plain(match: re.Match[str]) -> str:
    return f"[{match[1].lower()}_{match[3]}]"


def _tokens_in(text: str) -> Iterable[str]:
    return map(_plain, _TOKEN.finditer(text)) if "[" in text else ()
