"""Which texts are embedded in the event loop: short ones of a quick embedder, now and then."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from trunkline_embedding import Vectors
from trunkline_rag.application.message_analysis import MessageAnalyser

from tests.support.embedders import LetterEmbedder

LONG = "My order has not arrived, and the tracking page has not changed for a week."


class ThreadRecorder(LetterEmbedder):
    """Embedder that records for every call whether it ran in the thread of the event loop."""

    def __init__(self, quick_characters: int) -> None:
        super().__init__()
        self.quick_characters = quick_characters
        self.in_loop: list[bool] = []
        self._loop_thread = threading.get_ident()

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.in_loop.append(threading.get_ident() == self._loop_thread)
        return super().embed(texts)


class Analysis:
    """An analyser whose clock stands still between calls."""

    def __init__(self, quick_characters: int) -> None:
        self.embedder = ThreadRecorder(quick_characters)
        self.now = 1_000.0
        self._analyser = MessageAnalyser(self.embedder, "letters", str, monotonic=lambda: self.now)

    async def runs_in_loop(self, text: str) -> bool:
        assert await self._analyser.vectors([text]) is not None
        return self.embedder.in_loop[-1]


async def test_short_text_is_embedded_in_the_loop_and_a_long_one_in_a_thread() -> None:
    analysis = Analysis(quick_characters=20)
    assert not await analysis.runs_in_loop(LONG)
    assert await analysis.runs_in_loop("lost parcel")


async def test_bursts_go_to_threads() -> None:
    """The loop serves other requests for most of the time; a cached text does not count."""
    analysis = Analysis(quick_characters=20)
    assert await analysis.runs_in_loop("lost parcel")
    assert not await analysis.runs_in_loop("late refund")
    analysis.now += 1.0
    assert await analysis.runs_in_loop("broken lamp")
    analysis.now += 1.0
    assert await analysis.runs_in_loop("lost parcel")
    assert len(analysis.embedder.in_loop) == 3
    assert await analysis.runs_in_loop("late parcel")


async def test_embedder_that_may_wait_never_blocks_the_loop() -> None:
    analysis = Analysis(quick_characters=0)
    assert not await analysis.runs_in_loop("ok")
