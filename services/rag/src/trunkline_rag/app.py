"""Wiring of the knowledge service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import Counter
from trunkline_chassis.cancellation import cancel_and_wait
from trunkline_chassis.heartbeat import Vitals
from trunkline_chassis.lifecycle import Process
from trunkline_chassis.object_store import ObstoreObjectStore
from trunkline_chassis.regional_objects import RegionalObjects
from trunkline_chassis.rpc import Responder
from trunkline_chassis.tracing.span_types import SERVE_KNOWLEDGE
from trunkline_embedding import LEXICAL, Embedder, open_embedder
from trunkline_protocols import codec, subjects
from trunkline_protocols.knowledge import ArticlesImported, ImportProblem
from trunkline_protocols.refusal import Refused

from trunkline_rag.adapters.fleet_feed import FleetFeed
from trunkline_rag.adapters.knowledge_folder import FLEET_SOURCE, read_folder
from trunkline_rag.adapters.kv_change_feed import KvChangeFeed
from trunkline_rag.adapters.kv_lease import KvLease, folder_id
from trunkline_rag.adapters.kv_write_lock import KvWriteLock
from trunkline_rag.adapters.milvus import MilvusAccess, MilvusStore
from trunkline_rag.adapters.parser.process import ParserProcess
from trunkline_rag.application.backups import Backups, NoBackupError
from trunkline_rag.application.knowledge_base import KnowledgeBase
from trunkline_rag.core.backups import DamagedBackupError
from trunkline_rag.core.language import load_model
from trunkline_rag.handlers import KnowledgeHandlers
from trunkline_rag.settings import RagSettings

_log: Final = structlog.get_logger(__name__)
_PARSERS_REPLACED: Final = Counter(
    "trunkline_knowledge_parsers_replaced", "Parser processes that were ended by a file over its limits"
)
NAME: Final = "rag"
_MAX_CONCURRENT_REQUESTS: Final = 64
_SUBJECTS: Final = (
    *(subjects.search, subjects.analyse, subjects.article),
    *(subjects.import_articles, subjects.backups),
)
"""Builders of the subjects of all requests, by region."""


@asynccontextmanager
async def service(process: Process[RagSettings]) -> AsyncIterator[None]:
    """Serve knowledge requests; ready once the index is built and the knowledge folder is imported, or on standby."""
    settings = process.settings
    parser = ParserProcess(settings.parse_limits(), on_replaced=_report_replaced)
    # Its start takes as long as that of the store.
    await asyncio.to_thread(parser.start)
    try:
        async with _standby(process, parser) if settings.rag_standby else _knowledge(process, parser):
            yield
    finally:
        await asyncio.to_thread(parser.close)


@asynccontextmanager
async def _standby(process: Process[RagSettings], parser: ParserProcess) -> AsyncIterator[None]:
    """Serve while this process holds the lease; its loss ends the process, which then waits for it again."""
    settings = process.settings
    is_first = settings.rag_standby == "first"
    holder = f"{process.instance}:{await asyncio.to_thread(folder_id, Path(settings.milvus_uri))}"
    lease = KvLease(process.bus, holder, is_first=is_first, timeout_s=settings.rag_lease_s)
    is_serving, stop = asyncio.Event(), asyncio.Event()

    async def serve() -> None:
        async with lease.held() as has_content:
            is_serving.set()
            async with _knowledge(process, parser, lease=None if has_content else lease):
                process.heartbeat.publish_soon()
                await stop.wait()

    process.heartbeat.vitals = lambda: Vitals(is_standby=True)
    serving = process.group.create_task(serve())
    yield
    stop.set()
    if is_serving.is_set():
        await asyncio.wait([serving], timeout=settings.shutdown_timeout_s)
    await cancel_and_wait([serving])


@asynccontextmanager
async def _knowledge(
    process: Process[RagSettings], parser: ParserProcess, *, lease: KvLease | None = None
) -> AsyncIterator[None]:
    """Open the store and serve; with a `lease`, restore the latest backup before."""
    settings = process.settings
    embedder, _ = await asyncio.gather(
        asyncio.to_thread(open_embedder, settings.embedder_choice()), asyncio.to_thread(load_model)
    )
    store = await asyncio.to_thread(_open_store, settings, embedder, _foreign_reporter(process))
    try:
        is_shared = "://" in settings.milvus_uri
        knowledge_base = KnowledgeBase(
            store,
            embedder,
            fingerprint=settings.embedder_choice().fingerprint if embedder is not None else "",
            parser=parser,
            write_lock=KvWriteLock(process.bus, process.instance) if is_shared else None,
            changes=KvChangeFeed(process.bus, process.instance) if is_shared else None,
            own_source=FLEET_SOURCE,
        )
        await knowledge_base.open()
        objects = RegionalObjects(ObstoreObjectStore(settings.backup_url), process.borders, "backup")
        backups = Backups(knowledge_base, objects, process.borders, keep=settings.backup_keep)
        if lease is not None:
            await _take_over(backups, lease)
        process.spawn(knowledge_base.follow())
        fleet = FleetFeed(process.bus, knowledge_base.use_fleets)
        await fleet.open()
        process.spawn(fleet.run())
        if store.needs_vectors:
            process.spawn(knowledge_base.reembed())
        handlers = KnowledgeHandlers(knowledge_base, backups, process.borders)
        await _import_folder(settings, handlers)
        _schedule_backups(process, backups)
        responder = await _respond(process, handlers)
        detail = {"search": "by words only" if embedder is None else f"by meaning, {embedder.name}"}
        process.heartbeat.vitals = lambda: Vitals(queue_depth=responder.in_flight, detail=detail)
        yield
        await responder.close(settings.shutdown_timeout_s)
    finally:
        await asyncio.to_thread(store.close)


def _schedule_backups(process: Process[RagSettings], backups: Backups) -> None:
    settings = process.settings
    if settings.backup_every_h:
        process.spawn(backups.run(settings.backup_every_h * 3_600))
    if settings.backup_after_change_s:
        process.spawn(backups.follow_changes(settings.backup_after_change_s))


async def _respond(process: Process[RagSettings], handlers: KnowledgeHandlers) -> Responder:
    responder = Responder(process.bus, NAME, process.latency, process.group)
    for subject in _SUBJECTS:
        await responder.serve(
            subject(process.settings.region),
            codec.knowledge_request,
            handlers.handle,
            span=SERVE_KNOWLEDGE,
            max_concurrent=_MAX_CONCURRENT_REQUESTS,
        )
    return responder


async def _take_over(backups: Backups, lease: KvLease) -> None:
    """Replace the content of the own folder, which is older than that of the lost process, by the latest backup."""
    try:
        restored = await backups.restore(replace=True)
    except (NoBackupError, DamagedBackupError) as error:
        # Better an old knowledge base than none: each answer quotes its articles.
        _log.error("standby.no_backup", reason=str(error))
    else:
        _log.warning("standby.took_over", backup=restored.id, passages=restored.passages)
    lease.confirm()


def _foreign_reporter(process: Process[RagSettings]) -> Callable[[str, str], None]:
    """Return a function for any thread that counts and records the refused collections of another region."""
    loop, region = asyncio.get_running_loop(), process.settings.region

    def report(home: str, collection: str) -> None:
        # A restart after a second is the same attempt.
        record_id = f"collections-{region}-{process.instance}-{int(time.time()) // 60}"
        refused = partial(
            process.borders.admits, "collections", data=region, place=home, asset=collection, record_id=record_id
        )
        loop.call_soon_threadsafe(refused)

    return report


def _open_store(
    settings: RagSettings, embedder: Embedder | None, on_foreign: Callable[[str, str], None]
) -> MilvusStore:
    started = time.perf_counter()
    store = MilvusStore(
        settings.milvus_uri,
        embedder=embedder.name if embedder is not None else LEXICAL,
        dimensions=embedder.dimensions if embedder is not None else 0,
        access=MilvusAccess(settings.milvus_token.get_secret_value(), settings.milvus_ca, settings.socket_dir),
        region=settings.region,
        on_foreign=on_foreign,
    )
    _log.info("store.opened", took_ms=round((time.perf_counter() - started) * 1000))
    return store


def _report_replaced(problem: ImportProblem) -> None:
    _PARSERS_REPLACED.inc()
    _log.warning("parser.replaced", file=problem.name, reason=problem.reason)


async def _import_folder(settings: RagSettings, handlers: KnowledgeHandlers) -> None:
    """Import the knowledge folder, if there is one; problems are logged and do not prevent the start."""
    if settings.knowledge_dir is None:
        return
    request, problems = await asyncio.to_thread(
        read_folder, settings.knowledge_dir, settings.tenant, settings.parse_limits()
    )
    reply = await handlers.handle(request)
    if isinstance(reply, Refused):
        _log.error("folder.import_failed", reason=reply.message)
    elif isinstance(reply, ArticlesImported):
        problems += reply.problems
        for warning in reply.warnings:
            _log.warning("folder.file_imported_with_warning", file=warning.name, reason=warning.reason)
    for problem in problems:
        _log.warning("folder.file_rejected", file=problem.name, reason=problem.reason)
