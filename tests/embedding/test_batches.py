"""Batches of concurrent calls: one request for many calls, with vectors and errors per call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import numpy as np
import pytest
from trunkline_embedding.batches import BatchedEmbedder
from trunkline_embedding.port import EmbeddingError, Vectors

UNLIMITED_S = 3_600.0
"""A wait that ends only if the batch is full or the request in flight ends."""
TIMEOUT_S = 60.0


class Service:
    """Service whose vectors are text lengths; it blocks its first request until released and refuses the text "bad"."""

    name = "service"
    dimensions = 1
    vocabulary: frozenset[str] = frozenset()
    quick_characters = 0

    def __init__(self) -> None:
        self.requests: list[list[str]] = []
        self.has_started = Event()
        self.may_finish = Event()
        self.failure: EmbeddingError | None = None
        self._lock = Lock()

    def embed(self, texts: Sequence[str]) -> Vectors:
        with self._lock:
            self.requests.append(list(texts))
            is_first = len(self.requests) == 1
        if is_first:
            self.has_started.set()
            assert self.may_finish.wait(TIMEOUT_S)
        elif self.failure is not None:
            raise self.failure
        if "bad" in texts:
            raise EmbeddingError("a text is refused", retryable=False)
        return np.array([[len(text)] for text in texts], dtype=np.float32)


@pytest.fixture
def service() -> Service:
    """Return a service without requests."""
    return Service()


@pytest.fixture
def threads(service: Service) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of callers and release them at the end."""
    with ThreadPoolExecutor(16) as threads:
        yield threads
        service.may_finish.set()


def lengths(vectors: Vectors) -> list[int]:
    return [int(length) for length in vectors[:, 0]]


def test_concurrent_calls_are_sent_as_one_request(service: Service, threads: ThreadPoolExecutor) -> None:
    """The first call is sent at once; the others fill a batch, which is sent without delay."""
    batched = BatchedEmbedder(service, max_wait_s=UNLIMITED_S, max_texts=6)
    first = threads.submit(batched.embed, ["first"])
    assert service.has_started.wait(TIMEOUT_S)
    others = [threads.submit(batched.embed, ["x" * number, "y" * 10 * number]) for number in (1, 2, 3)]
    assert [lengths(other.result(TIMEOUT_S)) for other in others] == [[1, 10], [2, 20], [3, 30]]
    assert [len(request) for request in service.requests] == [1, 6]
    service.may_finish.set()
    assert lengths(first.result(TIMEOUT_S)) == [5]


def test_partial_batch_is_sent_when_the_request_in_flight_ends(service: Service, threads: ThreadPoolExecutor) -> None:
    """It is sent earlier if `max_wait_s` passes; a call with a full batch of texts is sent on its own."""
    batched = BatchedEmbedder(service, max_wait_s=UNLIMITED_S, max_texts=3)
    first = threads.submit(batched.embed, ["first"])
    assert service.has_started.wait(TIMEOUT_S)
    second = threads.submit(batched.embed, ["xx"])
    alone = threads.submit(batched.embed, ["a", "b", "c"])
    assert lengths(alone.result(TIMEOUT_S)) == [1, 1, 1]
    service.may_finish.set()
    assert lengths(first.result(TIMEOUT_S)) == [5]
    assert lengths(second.result(TIMEOUT_S)) == [2]
    short_wait = BatchedEmbedder(hung := Service(), max_wait_s=0.001, max_texts=3)
    held = threads.submit(short_wait.embed, ["held"])
    assert hung.has_started.wait(TIMEOUT_S)
    assert lengths(short_wait.embed(["xx"])) == [2]
    hung.may_finish.set()
    assert lengths(held.result(TIMEOUT_S)) == [4]


def test_refused_text_fails_its_own_call_only(service: Service, threads: ThreadPoolExecutor) -> None:
    """The service refuses the whole list without naming the text."""
    batched = BatchedEmbedder(service, max_wait_s=UNLIMITED_S, max_texts=3)
    threads.submit(batched.embed, ["first"])
    assert service.has_started.wait(TIMEOUT_S)
    calls = [threads.submit(batched.embed, [text]) for text in ("one", "bad", "three")]
    assert lengths(calls[0].result(TIMEOUT_S)) == [3]
    assert lengths(calls[2].result(TIMEOUT_S)) == [5]
    with pytest.raises(EmbeddingError, match="refused"):
        calls[1].result(TIMEOUT_S)
    assert sorted(len(request) for request in service.requests) == [1, 1, 1, 1, 3]


def test_transient_error_is_not_retried_per_call(service: Service, threads: ThreadPoolExecutor) -> None:
    """The embedder has already retried; further requests would only add load."""
    service.failure = EmbeddingError("down", retryable=True)
    batched = BatchedEmbedder(service, max_wait_s=UNLIMITED_S, max_texts=2)
    threads.submit(batched.embed, ["first"])
    assert service.has_started.wait(TIMEOUT_S)
    calls = [threads.submit(batched.embed, [text]) for text in ("one", "two")]
    for call in calls:
        with pytest.raises(EmbeddingError, match="down"):
            call.result(TIMEOUT_S)
    assert len(service.requests) == 2
