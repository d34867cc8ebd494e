"""Wiring of the audit service."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from trunkline_chassis.heartbeat import Vitals
from trunkline_chassis.lifecycle import Process
from trunkline_protocols import streams

from trunkline_audit.adapters.jetstream import JetStreamFeeds
from trunkline_audit.adapters.postgres import PostgresArchive
from trunkline_audit.application.recorder import LagMonitor, Recorder
from trunkline_audit.settings import AuditSettings

NAME = "audit"


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the clock that is handed in everywhere


@asynccontextmanager
async def service(process: Process[AuditSettings]) -> AsyncIterator[None]:
    """Record the audited streams; ready when PostgreSQL and every consumer have answered once."""
    settings = process.settings
    feeds = JetStreamFeeds(
        process.bus,
        [streams.audit_consumer(stream) for stream in streams.AUDITED],
        batch=settings.audit_batch_size,
        wait_s=settings.audit_batch_wait_s,
    )
    archive = PostgresArchive(settings.postgres_dsn, name=process.instance)
    recorder = Recorder(feeds, archive, latency=process.latency, now=_now, chance=random.random)
    watch = LagMonitor(feeds, now=_now)
    process.heartbeat.vitals = lambda: Vitals(queue_depth=watch.pending)
    process.spawn(watch.run())
    process.spawn(recorder.run())
    await recorder.ready.wait()
    yield
    await recorder.drain(settings.shutdown_timeout_s)
