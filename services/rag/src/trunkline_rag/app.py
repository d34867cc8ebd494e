"""Wiring of the knowledge service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
from trunkline_chassis.heartbeat import Vitals
from trunkline_chassis.lifecycle import Process
from trunkline_chassis.rpc import Responder
from trunkline_embedding import LEXICAL, open_embedder
from trunkline_protocols import codec, subjects
from trunkline_protocols.knowledge import ArticlesImported, KnowledgeReply, Refused

from trunkline_rag.adapters.folder import SOURCE, folder_order
from trunkline_rag.adapters.kv_write_lock import KvWriteLock
from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_rag.adapters.objects import ObstoreObjects
from trunkline_rag.application.backups import Backups
from trunkline_rag.application.knowledge_base import KnowledgeBase
from trunkline_rag.handlers import KnowledgeHandlers
from trunkline_rag.settings import RagSettings

_log: Final = structlog.get_logger(__name__)
NAME: Final = "rag"
_MAX_CONCURRENT_REQUESTS: Final = 64


@asynccontextmanager
async def service(process: Process[RagSettings]) -> AsyncIterator[None]:
    """Answer questions to the knowledge base."""
    settings = process.settings
    embedder = await asyncio.to_thread(open_embedder, settings.embedder_choice())
    started = time.perf_counter()
    store = await asyncio.to_thread(
        lambda: MilvusStore(
            settings.milvus_uri,
            embedder=embedder.name if embedder is not None else LEXICAL,
            dimensions=embedder.dimensions if embedder is not None else 0,
        )
    )
    _log.info("store.open", took_ms=round((time.perf_counter() - started) * 1000))
    try:
        write_lock = KvWriteLock(process.bus, process.instance) if "://" in settings.milvus_uri else None
        knowledge_base = KnowledgeBase(store, embedder, write_lock=write_lock, own_source=SOURCE)
        await knowledge_base.open()
        process.spawn(knowledge_base.follow())
        if store.needs_vectors:
            process.spawn(knowledge_base.reembed())
        backups = Backups(knowledge_base, ObstoreObjects(settings.backup_url), keep=settings.backup_keep)
        desk = KnowledgeHandlers(knowledge_base, backups)
        if settings.knowledge_dir is not None:
            order = await asyncio.to_thread(folder_order, settings.knowledge_dir, settings.tenant)
            _tell(await desk.answer(order))
        if settings.backup_every_h:
            process.spawn(backups.run(settings.backup_every_h * 3_600))
        responder = Responder(process.bus, NAME, process.latency, process.group)
        for subject in (
            subjects.search(settings.region),
            subjects.article(settings.region),
            subjects.import_articles(settings.region),
            subjects.backups(settings.region),
        ):
            await responder.serve(
                subject, codec.knowledge_request, desk.answer, max_concurrent=_MAX_CONCURRENT_REQUESTS
            )
        process.heartbeat.vitals = lambda: Vitals(queue_depth=responder.in_flight)
        yield
        await responder.close(settings.shutdown_timeout_s)
    finally:
        await asyncio.to_thread(store.close)


def _tell(done: KnowledgeReply) -> None:
    """Say what of the folder was not taken."""
    if isinstance(done, Refused):
        _log.error("library.refused", reason=done.message)
        return
    for problem in done.problems if isinstance(done, ArticlesImported) else ():
        _log.warning("library.problem", file=problem.name, reason=problem.reason)
