"""The exporter: batches, retries, a bounded queue, and an end within a bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY
from trunkline_chassis.cancellation import cancel_and_wait
from trunkline_chassis.tracing import span_types as spans
from trunkline_chassis.tracing.exporter import MAX_BATCH, MAX_QUEUED, SpanExporter
from trunkline_chassis.tracing.tracer import start_trace, turn_off, turn_on

from tests.support.otlp import Collector, serve_collector

TIMEOUT_S = 30.0
RESOURCE = {"service.name": "agents", "service.instance.id": "agents-1", "host.name": ""}


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """A collector that accepts everything."""
    async with serve_collector() as running:
        yield running


@pytest.fixture(autouse=True)
def off_again() -> Iterator[None]:
    """No test leaves traces on."""
    yield
    turn_off()


@asynccontextmanager
async def running(exporter: SpanExporter) -> AsyncIterator[None]:
    """Export while the block runs."""
    turn_on(exporter.add, sampling=1.0)
    task = asyncio.ensure_future(exporter.run())
    try:
        yield
    finally:
        await cancel_and_wait([task])


def record(count: int) -> None:
    """Record spans."""
    for _ in range(count):
        with start_trace(spans.ACCEPT_MESSAGE):
            pass


def dropped(reason: str) -> float:
    """Return the value of the counter."""
    return REGISTRY.get_sample_value("trunkline_spans_dropped_total", {"reason": reason}) or 0.0


async def until_received(collector: Collector, count: int) -> None:
    """Wait for spans."""
    async with asyncio.timeout(TIMEOUT_S):
        while len(collector.spans) < count:
            await asyncio.sleep(0.02)


async def test_spans_arrive_in_batches_with_their_process(collector: Collector) -> None:
    """A full batch does not wait for the interval; the address may have the path."""
    exporter = SpanExporter(f"{collector.url}/v1/traces/", RESOURCE, authorization="Bearer of-the-collector")
    async with running(exporter):
        record(MAX_BATCH + 1)
        await until_received(collector, MAX_BATCH + 1)
    assert len({span.id for span in collector.spans}) == MAX_BATCH + 1
    assert len(collector.bodies) == 2
    assert collector.spans[0].resource == {"service.name": "agents", "service.instance.id": "agents-1"}
    assert {headers["Authorization"] for headers in collector.headers} == {"Bearer of-the-collector"}


async def test_rest_is_exported_at_the_end(collector: Collector) -> None:
    """Spans of a process that drains are not lost."""
    exporter = SpanExporter(collector.url, RESOURCE)
    turn_on(exporter.add, sampling=1.0)
    record(3)
    await exporter.close()
    assert len(collector.spans) == 3


async def test_batch_is_repeated_while_the_collector_is_unavailable(collector: Collector) -> None:
    """Each span arrives once."""
    collector.statuses.extend([503, 429])
    exporter = SpanExporter(collector.url, RESOURCE)
    async with running(exporter):
        record(MAX_BATCH)
        await until_received(collector, MAX_BATCH)
    assert len(collector.spans) == MAX_BATCH


async def test_refused_batch_is_dropped_and_counted(collector: Collector) -> None:
    """The next one is exported; a partial refusal is counted too."""
    collector.statuses.append(400)
    collector.reply = {"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}}
    before = dropped("refused")
    exporter = SpanExporter(collector.url, RESOURCE)
    async with running(exporter):
        record(MAX_BATCH)
        async with asyncio.timeout(TIMEOUT_S):
            while dropped("refused") < before + MAX_BATCH:
                await asyncio.sleep(0.02)
        record(MAX_BATCH)
        await until_received(collector, MAX_BATCH)
    assert dropped("refused") == before + MAX_BATCH + 2


async def test_full_queue_drops_and_counts_spans() -> None:
    """Without an exporter that runs, nothing leaves the queue; recording does not wait."""
    exporter = SpanExporter("http://127.0.0.1:9", RESOURCE)
    turn_on(exporter.add, sampling=1.0)
    before = dropped("queue_full"), dropped("unavailable")
    record(MAX_QUEUED + 5)
    assert dropped("queue_full") == before[0] + 5
    await exporter.close()
    assert dropped("unavailable") == before[1] + MAX_QUEUED


async def test_silent_collector_delays_the_end_by_a_bound_only(collector: Collector) -> None:
    """The request hangs for longer than any timeout: `close` gives up, and counts what is lost."""
    collector.gate.clear()
    exporter = SpanExporter(collector.url, RESOURCE)
    before = dropped("unavailable")
    async with running(exporter):
        record(MAX_BATCH)
        async with asyncio.timeout(TIMEOUT_S):
            await collector.arrived.wait()
        record(1)
    async with asyncio.timeout(TIMEOUT_S):
        await exporter.close()
    assert dropped("unavailable") == before + MAX_BATCH + 1
    assert collector.spans == []
