"""Wiring of the knowledge service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from trunkline_chassis.lifecycle import Process
from trunkline_chassis.rpc import Responder
from trunkline_protocols import codec, subjects

from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_rag.handlers import Library
from trunkline_rag.settings import RagSettings

NAME: Final = "rag"


@asynccontextmanager
async def service(process: Process[RagSettings]) -> AsyncIterator[None]:
    """Answer questions to the knowledge base."""
    settings = process.settings
    store = await asyncio.to_thread(MilvusStore, settings.milvus_uri)
    try:
        library = Library(store)
        await library.open()
        if settings.knowledge_dir is not None:
            await library.follow(settings.knowledge_dir, settings.tenant)
        responder = Responder(settings.nats_url, NAME, process.latency)
        for subject, title in (
            (subjects.search(settings.region), "Search for passages"),
            (subjects.article(settings.region), "One whole article"),
            (subjects.import_articles(settings.region), "Import of articles"),
        ):
            responder.answer(subject, codec.knowledge_request, library.answer, title=title)
        await responder.start()
        process.heartbeat.queue_depth = lambda: responder.running
        yield
        await responder.stop()
    finally:
        await asyncio.to_thread(store.close)
