"""Wiring of the audit service."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import structlog
from trunkline_chassis.heartbeat import Vitals
from trunkline_chassis.lifecycle import Process
from trunkline_protocols import streams

from trunkline_audit.adapters.head_signer import HeadSigner
from trunkline_audit.adapters.jetstream import JetStreamFeeds
from trunkline_audit.adapters.postgres import PostgresArchive
from trunkline_audit.application.lag_monitor import LagMonitor
from trunkline_audit.application.recorder import Recorder
from trunkline_audit.settings import AuditSettings

_log: Final = structlog.get_logger(__name__)
NAME = "audit"


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the clock that is injected everywhere


@asynccontextmanager
async def service(process: Process[AuditSettings]) -> AsyncIterator[None]:
    """Record the audited streams; without PostgreSQL it waits, and no other process waits for it."""
    settings = process.settings
    feeds = JetStreamFeeds(
        process.bus,
        [streams.audit_consumer(stream) for stream in streams.AUDITED],
        batch=settings.audit_batch_size,
        wait_s=settings.audit_batch_wait_s,
    )
    heads = HeadSigner(
        settings.region, settings.audit_secret.get_secret_value() if settings.audit_secret else "", now=_now
    )
    if heads.public_key:
        _log.info("heads.signed", key=heads.key_name, public_key=heads.public_key.hex())
    else:
        _log.warning("heads.unsigned")
    archive = PostgresArchive(settings.postgres_dsn, name=process.instance, heads=heads)
    recorder = Recorder(feeds, archive, latency=process.latency, now=_now, jitter=random.random)
    lag = LagMonitor(feeds, now=_now)
    process.heartbeat.vitals = lambda: Vitals(queue_depth=lag.pending, detail={"archive": recorder.state})
    process.readiness.is_working = lambda: recorder.state != "unavailable"
    process.spawn(lag.run())
    process.spawn(recorder.run())
    yield
    await recorder.drain(settings.shutdown_timeout_s)
