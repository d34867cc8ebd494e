"""Token counts: usage as servers report it, under many names and of many types, and an estimate if they do not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

_INPUT_NAMES: Final = (
    "prompt_tokens",
    "input_tokens",
    "promptTokens",
    "inputTokens",
    "promptTokenCount",
    "prompt_eval_count",
    "prompt_n",
)
_OUTPUT_NAMES: Final = (
    "completion_tokens",
    "output_tokens",
    "completionTokens",
    "outputTokens",
    "candidatesTokenCount",
    "eval_count",
    "predicted_n",
)
_UNCACHED_INPUT: Final = "input_tokens"
"""Anthropic's count, which the tokens of its cache add to; other counts include them."""
_CACHED_NAMES: Final = ("cache_creation_input_tokens", "cache_read_input_tokens")
_MAX_TOKENS: Final = 100_000_000
"""A larger count is a fault of the server: it would exhaust every budget."""
_BYTES_PER_TOKEN: Final = 4


class TokenCounts(NamedTuple):
    """Tokens of a prompt and of its answer; 0 if unknown."""

    input: int = 0
    output: int = 0

    def merge(self, later: TokenCounts) -> TokenCounts:
        """Return the larger counts: reports are cumulative, and a later one may omit what an earlier one had."""
        return TokenCounts(max(self.input, later.input), max(self.output, later.output))


def reported_tokens(report: object) -> TokenCounts:
    """Return the counts of a usage report; 0 for those that are missing or no number of tokens."""
    if not isinstance(report, Mapping):
        return TokenCounts()
    cached = sum(_count(report.get(name)) for name in _CACHED_NAMES) if _UNCACHED_INPUT in report else 0
    return TokenCounts(_first(report, _INPUT_NAMES) + cached, _first(report, _OUTPUT_NAMES))


def estimated_tokens(size: int) -> int:
    """Return the usual tokens of a text of `size` bytes in UTF-8, at least 1 if it is not empty."""
    return math.ceil(size / _BYTES_PER_TOKEN)


def utf8_size(text: str) -> int:
    """Return the bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _first(report: Mapping[object, object], names: tuple[str, ...]) -> int:
    return next((count for name in names if (count := _count(report.get(name)))), 0)


def _count(value: object) -> int:
    """Return a count that may be a whole number, a fraction or a numeral."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return math.ceil(value) if 0 < value <= _MAX_TOKENS else 0
