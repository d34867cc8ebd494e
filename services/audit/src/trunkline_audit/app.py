"""Wiring of the audit service."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import structlog
from trunkline_chassis.heartbeat import Vitals
from trunkline_chassis.lifecycle import Process
from trunkline_chassis.object_store import ObstoreObjectStore, local_folder
from trunkline_chassis.regional_objects import regional_objects
from trunkline_chassis.rpc import Responder
from trunkline_chassis.toml_file import TomlFileError
from trunkline_protocols import codec, streams, subjects

from trunkline_audit.adapters.archive_reader import ArchivedConversations
from trunkline_audit.adapters.conversation_proofs import ConversationProofs
from trunkline_audit.adapters.customer_index import PostgresCustomerIndex
from trunkline_audit.adapters.head_signer import HeadSigner
from trunkline_audit.adapters.head_stream import JetStreamHeads, PostgresHeads
from trunkline_audit.adapters.jetstream import JetStreamFeeds
from trunkline_audit.adapters.policy_file import load_policy
from trunkline_audit.adapters.postgres import PostgresArchive
from trunkline_audit.adapters.retention_store import PostgresRetention
from trunkline_audit.adapters.stored_timestamps import PostgresTimestamps
from trunkline_audit.adapters.stream_trimmer import JetStreamTrimmer
from trunkline_audit.adapters.timestamp_authority import HttpTimestampAuthority
from trunkline_audit.application.head_publisher import HeadPublisher
from trunkline_audit.application.head_timestamper import HeadTimestamper
from trunkline_audit.application.lag_monitor import LagMonitor
from trunkline_audit.application.recorder import Recorder
from trunkline_audit.application.retention_run import RetentionRun
from trunkline_audit.application.retention_schedule import RetentionSchedule
from trunkline_audit.core.heads import TreeHead
from trunkline_audit.core.retention.policy import RetentionPolicy
from trunkline_audit.handlers import ArchiveHandlers
from trunkline_audit.settings import AuditSettings

_log: Final = structlog.get_logger(__name__)
NAME = "audit"
_MAX_ARCHIVE_READS: Final = 4
_FLUSH_TIMEOUT_S: Final = 3.0
"""Of the last head, at the stop."""


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
    publisher = HeadPublisher(
        JetStreamHeads(process.bus, settings.region), PostgresHeads(settings.postgres_dsn), jitter=random.random
    )
    timestamper = HeadTimestamper(
        HttpTimestampAuthority(settings.audit_tsa_url),
        PostgresTimestamps(settings.postgres_dsn),
        every_s=settings.audit_tsa_every_h * 3_600,
        now=_now,
    )

    def on_head(head: TreeHead) -> None:
        publisher.offer(head)
        timestamper.offer(head)

    archive = PostgresArchive(settings.postgres_dsn, name=process.instance, heads=_signer(settings), on_head=on_head)
    recorder = Recorder(
        feeds, archive, latency=process.latency, now=_now, jitter=random.random, borders=process.borders
    )
    lag = LagMonitor(feeds, now=_now)
    retention = _retention(process)
    process.heartbeat.vitals = lambda: Vitals(
        queue_depth=lag.pending, detail={"archive": recorder.state, "retention": retention.state}
    )
    process.readiness.is_working = lambda: recorder.state != "unavailable"
    process.spawn(lag.run())
    process.spawn(recorder.run())
    process.spawn(publisher.run())
    if settings.audit_tsa_url:
        process.spawn(timestamper.run())
    if retention.is_scheduled:
        process.spawn(retention.run())
    responder = await _serve_archives(process)
    yield
    await responder.close(settings.shutdown_timeout_s)
    await recorder.drain(settings.shutdown_timeout_s)
    await publisher.flush(_FLUSH_TIMEOUT_S)


async def _serve_archives(process: Process[AuditSettings]) -> Responder:
    """Reply to requests for records."""
    settings = process.settings
    responder = Responder(process.bus, NAME, process.latency, process.group)
    archives = ArchiveHandlers(
        ArchivedConversations(settings.postgres_dsn, regional_objects(ObstoreObjectStore, process.borders, "archive")),
        ConversationProofs(settings.postgres_dsn),
        PostgresCustomerIndex(settings.postgres_dsn, settings.region),
        process.borders,
    )
    await responder.serve(
        subjects.read_archive(settings.region), codec.read_archived, archives.read, max_concurrent=_MAX_ARCHIVE_READS
    )
    await responder.serve(
        subjects.prove_records(settings.region), codec.prove_records, archives.prove, max_concurrent=_MAX_ARCHIVE_READS
    )
    await responder.serve(
        subjects.list_conversations(settings.region),
        codec.list_conversations,
        archives.list,
        max_concurrent=_MAX_ARCHIVE_READS,
    )
    return responder


def _signer(settings: AuditSettings) -> HeadSigner:
    """Return the signer of heads and log its public key, or the lack of one."""
    secret = settings.audit_secret.get_secret_value() if settings.audit_secret else ""
    signer = HeadSigner(settings.region, secret, now=_now)
    if signer.public_key:
        _log.info("heads.signed", key=signer.key_name, public_key=signer.public_key.hex())
    else:
        _log.warning("heads.unsigned")
    return signer


def _retention(process: Process[AuditSettings]) -> RetentionSchedule:
    """Return the schedule of retention, which runs only with a policy and an interval; log which it is, once."""
    settings = process.settings
    policy, failure = RetentionPolicy(), ""
    try:
        policy = load_policy(settings.retention_policy)
    except TomlFileError as error:
        failure = f"policy invalid: {error}"
        _log.error("retention.policy_invalid", error=str(error))
    else:
        _log.info("retention.policy", rules=len(policy.rules), every_h=settings.retention_every_h)
    if settings.retention_every_h and local_folder(settings.retention_url) is None:
        _log.warning("retention.object_lock_unchecked", location=settings.retention_url)

    def new_run() -> RetentionRun:
        return RetentionRun(
            PostgresRetention(settings.postgres_dsn, holder=process.instance, region=settings.region),
            JetStreamTrimmer(process.bus, settings.region),
            regional_objects(ObstoreObjectStore, process.borders, "archive"),
            policy,
            location=settings.retention_url,
            now=_now,
        )

    return RetentionSchedule(
        new_run, policy, every_s=settings.retention_every_h * 3_600, now=time.time, failure=failure
    )
