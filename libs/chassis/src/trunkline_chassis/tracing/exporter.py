"""Exporter of spans to a collector over OTLP/HTTP, in batches, behind a bounded queue.

A turn never waits for it: a span that finds the queue full is dropped and counted, and so is a batch that the collector
does not accept.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import aiohttp
import structlog
from prometheus_client import Counter
from trunkline_protocols.decoding import DecodeError

from trunkline_chassis.cancellation import wait_for_event
from trunkline_chassis.logs import reason_of
from trunkline_chassis.tracing.otlp import FinishedSpan, encode_spans, export_reply

if TYPE_CHECKING:
    from collections.abc import Mapping

_log: Final = structlog.get_logger(__name__)
_EXPORTED: Final = Counter("trunkline_spans_exported_total", "Spans that a collector has accepted")
_DROPPED: Final = Counter(
    "trunkline_spans_dropped_total", "Spans lost: queue full, collector unavailable or refusing them", ["reason"]
)
for _reason in ("queue_full", "unavailable", "refused"):
    _DROPPED.labels(_reason)  # from 0, so that a rate counts the first loss too

MAX_QUEUED: Final = 4_096
MAX_BATCH: Final = 512
MAX_ATTEMPTS: Final = 5
_EXPORT_INTERVAL_S: Final = 2.0
_REQUEST_TIMEOUT_S: Final = 3.0
_FIRST_RETRY_S: Final = 1.0
_MAX_RETRY_S: Final = 15.0
CLOSE_TIMEOUT_S: Final = 1.0
_MAX_REPLY_BYTES: Final = 65_536
_PATH: Final = "/v1/traces"
_RETRYABLE: Final = frozenset({429, 502, 503, 504})
"""Statuses after which OTLP has the same request repeated."""

_Outcome: TypeAlias = Literal["accepted", "refused", "unavailable"]


class SpanExporter:
    """Sends the finished spans of this process to one collector."""

    def __init__(self, url: str, resource: Mapping[str, str], *, authorization: str = "") -> None:
        """`url` is the base address, as in `http://127.0.0.1:4318`; `authorization` the value of that header."""
        self._url = url.rstrip("/").removesuffix(_PATH) + _PATH
        self._resource = resource
        self._headers = {"Content-Type": "application/json"}
        if authorization:
            self._headers["Authorization"] = authorization
        self._queue: deque[FinishedSpan] = deque()
        self._full = asyncio.Event()
        self._failures = 0
        self._is_down = False

    def add(self, span: FinishedSpan) -> None:
        """Queue a span without waiting; drop it if the queue is full."""
        if len(self._queue) >= MAX_QUEUED:
            _DROPPED.labels("queue_full").inc()
            return
        self._queue.append(span)
        if len(self._queue) >= MAX_BATCH:
            self._full.set()

    async def run(self) -> None:
        """Export until cancelled; after a failure later and later."""
        async with self._session() as session:
            while True:
                if self._failures:
                    await asyncio.sleep(min(_FIRST_RETRY_S * 2.0 ** (self._failures - 1), _MAX_RETRY_S))
                else:
                    await wait_for_event(self._full, timeout_s=_EXPORT_INTERVAL_S)
                self._full.clear()
                await self._export(session)

    async def close(self) -> None:
        """Export the queued spans within `CLOSE_TIMEOUT_S`, and drop the rest; `run` must have ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S), self._session() as session:
                self._failures = 0
                await self._export(session)
        self._drop(len(self._queue), "unavailable")

    def _session(self) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S)
        return aiohttp.ClientSession(timeout=timeout, headers=self._headers)

    async def _export(self, session: aiohttp.ClientSession) -> None:
        """Export batches until the queue is empty or the collector fails.

        A batch is dropped after `MAX_ATTEMPTS`; while the collector stays away, each later one after its first attempt.
        """
        while self._queue:
            batch = list(islice(self._queue, MAX_BATCH))
            outcome = await self._post(session, batch)
            match outcome:
                case "accepted":
                    self._remove(len(batch))
                case "refused":
                    self._drop(len(batch), outcome)
                case "unavailable":
                    self._failures += 1
                    if self._failures >= MAX_ATTEMPTS:
                        self._drop(len(batch), outcome)
                    return
            self._failures = 0

    async def _post(self, session: aiohttp.ClientSession, batch: list[FinishedSpan]) -> _Outcome:
        try:
            async with session.post(
                self._url, data=encode_spans(batch, self._resource), allow_redirects=False
            ) as response:
                if response.status in _RETRYABLE:
                    return self._report("unavailable", f"status {response.status}")
                if not response.ok or response.status >= 300:  # noqa: PLR2004 - a redirect is no acceptance
                    return self._report("refused", f"status {response.status}")
                rejected = _rejected(await response.content.read(_MAX_REPLY_BYTES))
        except Exception as error:  # whatever fails on the way to a collector, turns go on without traces
            return self._report("unavailable", reason_of(error))
        _EXPORTED.inc(len(batch) - min(rejected, len(batch)))
        _DROPPED.labels("refused").inc(min(rejected, len(batch)))
        return self._report("accepted")

    def _report(self, outcome: _Outcome, reason: str = "") -> _Outcome:
        """Log a change of the collector's state, once."""
        is_down = outcome != "accepted"
        if is_down and not self._is_down:
            _log.warning("traces.export_failed", error=reason)
        elif self._is_down and not is_down:
            _log.info("traces.export_resumed")
        self._is_down = is_down
        return outcome

    def _remove(self, count: int) -> None:
        for _ in range(count):
            self._queue.popleft()

    def _drop(self, count: int, reason: str) -> None:
        self._remove(count)
        _DROPPED.labels(reason).inc(count)


def _rejected(reply: bytes) -> int:
    """Return the number of spans that a collector did not accept although it replied with success."""
    try:
        return export_reply.decode(reply or b"{}").rejected
    except DecodeError:
        return 0
