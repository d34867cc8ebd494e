"""Personal data of texts that were searched before: a transcript comes again with every turn and every attempt."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Final

from trunkline_llm_gateway.core.personal_data.detection import find_personal_data, may_hold_personal_data
from trunkline_llm_gateway.core.personal_data.spans import Span

_MAX_TEXTS: Final = 10_000


class DetectionCache:
    """Remembers where personal data is by a hash of the text, so that it holds no text itself; for several threads."""

    def __init__(self) -> None:
        """Start empty."""
        self._spans: OrderedDict[tuple[bytes, Sequence[str]], Sequence[Span]] = OrderedDict()
        self._lock = Lock()

    def knows(self, text: str, countries: tuple[str, ...]) -> bool:
        """Return whether a text was searched before, or needs no search."""
        return not may_hold_personal_data(text) or _key(text, countries) in self._spans

    def find(self, text: str, countries: tuple[str, ...]) -> Sequence[Span]:
        """Return what `find_personal_data` returns."""
        if not may_hold_personal_data(text):
            return ()
        key = _key(text, countries)
        with self._lock:
            spans = self._spans.get(key)
        if spans is None:
            spans = find_personal_data(text, countries)
        with self._lock:
            self._spans[key] = spans
            self._spans.move_to_end(key)
            if len(self._spans) > _MAX_TEXTS:
                self._spans.popitem(last=False)
        return spans


def _key(text: str, countries: Sequence[str]) -> tuple[bytes, Sequence[str]]:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest(), countries
