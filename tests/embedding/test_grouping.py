"""Calls in groups: one request for many, each call's own vectors, each call's own failure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import numpy as np
import pytest
from trunkline_embedding.batching import GroupedEmbedder
from trunkline_embedding.port import EmbeddingError, Vectors

FOR_EVER_S = 3_600.0
"""A group that is let go by nothing but being full, or by the end of the request before it."""
PATIENCE_S = 60.0


class Service:
    """Embeds a text as its length; holds its first request until the test lets it go; refuses the text "bad"."""

    name = "service"
    dimensions = 1

    def __init__(self) -> None:
        self.requests: list[list[str]] = []
        self.has_begun = Event()
        self.may_end = Event()
        self.failure: EmbeddingError | None = None
        self._lock = Lock()

    def embed(self, texts: Sequence[str]) -> Vectors:
        with self._lock:
            self.requests.append(list(texts))
            is_first = len(self.requests) == 1
        if is_first:
            self.has_begun.set()
            assert self.may_end.wait(PATIENCE_S)
        elif self.failure is not None:
            raise self.failure
        if "bad" in texts:
            raise EmbeddingError("a text is refused", retryable=False)
        return np.array([[len(text)] for text in texts], dtype=np.float32)


@pytest.fixture
def service() -> Service:
    """A service that is asked already."""
    return Service()


@pytest.fixture
def threads(service: Service) -> Iterator[ThreadPoolExecutor]:
    """Callers; none of them is left waiting."""
    with ThreadPoolExecutor(16) as threads:
        yield threads
        service.may_end.set()


def lengths(vectors: Vectors) -> list[int]:
    return [int(length) for length in vectors[:, 0]]


def test_calls_that_come_while_one_is_under_way_are_one_request(service: Service, threads: ThreadPoolExecutor) -> None:
    """The first goes at once; the others fill a group, which goes without waiting, and each gets its own."""
    grouped = GroupedEmbedder(service, longest_wait_s=FOR_EVER_S, most=6)
    first = threads.submit(grouped.embed, ["first"])
    assert service.has_begun.wait(PATIENCE_S)
    others = [threads.submit(grouped.embed, ["x" * number, "y" * 10 * number]) for number in (1, 2, 3)]
    assert [lengths(other.result(PATIENCE_S)) for other in others] == [[1, 10], [2, 20], [3, 30]]
    assert [len(request) for request in service.requests] == [1, 6]
    service.may_end.set()
    assert lengths(first.result(PATIENCE_S)) == [5]


def test_group_that_is_not_full_goes_when_the_request_before_it_ends(
    service: Service, threads: ThreadPoolExecutor
) -> None:
    """Or after its few milliseconds, whichever comes first; a list of its own size goes alone."""
    grouped = GroupedEmbedder(service, longest_wait_s=FOR_EVER_S, most=3)
    first = threads.submit(grouped.embed, ["first"])
    assert service.has_begun.wait(PATIENCE_S)
    second = threads.submit(grouped.embed, ["xx"])
    alone = threads.submit(grouped.embed, ["a", "b", "c"])
    assert lengths(alone.result(PATIENCE_S)) == [1, 1, 1]
    service.may_end.set()
    assert lengths(first.result(PATIENCE_S)) == [5]
    assert lengths(second.result(PATIENCE_S)) == [2]
    impatient = GroupedEmbedder(hung := Service(), longest_wait_s=0.001, most=3)
    held = threads.submit(impatient.embed, ["held"])
    assert hung.has_begun.wait(PATIENCE_S)
    assert lengths(impatient.embed(["xx"])) == [2]
    hung.may_end.set()
    assert lengths(held.result(PATIENCE_S)) == [4]


def test_refused_text_fails_its_own_call_only(service: Service, threads: ThreadPoolExecutor) -> None:
    """The service refuses the whole list and does not say for which text."""
    grouped = GroupedEmbedder(service, longest_wait_s=FOR_EVER_S, most=3)
    threads.submit(grouped.embed, ["first"])
    assert service.has_begun.wait(PATIENCE_S)
    calls = [threads.submit(grouped.embed, [text]) for text in ("one", "bad", "three")]
    assert lengths(calls[0].result(PATIENCE_S)) == [3]
    assert lengths(calls[2].result(PATIENCE_S)) == [5]
    with pytest.raises(EmbeddingError, match="refused"):
        calls[1].result(PATIENCE_S)
    assert sorted(len(request) for request in service.requests) == [1, 1, 1, 1, 3]


def test_service_that_is_down_is_not_asked_again_by_each(service: Service, threads: ThreadPoolExecutor) -> None:
    """What may come right by itself was tried again already; more calls would be more load."""
    service.failure = EmbeddingError("down", retryable=True)
    grouped = GroupedEmbedder(service, longest_wait_s=FOR_EVER_S, most=2)
    threads.submit(grouped.embed, ["first"])
    assert service.has_begun.wait(PATIENCE_S)
    calls = [threads.submit(grouped.embed, [text]) for text in ("one", "two")]
    for call in calls:
        with pytest.raises(EmbeddingError, match="down"):
            call.result(PATIENCE_S)
    assert len(service.requests) == 2
