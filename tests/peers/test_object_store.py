"""Backups in S3, served by moto: `./just peers` installs it into a separate environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from trunkline_chassis.errors import ObjectMissingError, ObjectStoreUnavailableError
from trunkline_chassis.object_store import ObstoreObjectStore
from trunkline_protocols.knowledge import ArticleFile, ArticlesImported, GetArticle, ImportArticles
from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_rag.application.backups import Backups
from trunkline_rag.application.knowledge_base import KnowledgeBase

from tests.support.borders import ListedBorders
from tests.support.moto import NEEDS_MOTO, bucket, moto_endpoint
from tests.support.parsers import InProcessParser

__all__ = ["bucket", "moto_endpoint"]

pytestmark = [pytest.mark.peers, NEEDS_MOTO]


async def test_backup_in_s3_is_restored_from_there(bucket: str, tmp_path: Path) -> None:
    """A backup is written, listed, pruned and read over HTTP."""
    objects = ObstoreObjectStore(bucket)
    store = MilvusStore(str(tmp_path / "milvus"))
    knowledge_base = KnowledgeBase(store, parser=InProcessParser())
    backups = Backups(knowledge_base, objects, ListedBorders(), keep=2)
    taken = []
    for number in range(3):
        files = [ArticleFile(name="a.md", content=f"---\nid: a\n---\nText {number}.")]
        assert isinstance(
            await knowledge_base.import_articles(ImportArticles(tenant="default", files=files)), ArticlesImported
        )
        taken.append(await backups.take())
    assert len(taken[-1].removed) == 1
    kept = await backups.manifests()
    assert [manifest.id for manifest in kept] == sorted((manifest.id for manifest in kept), reverse=True)
    await backups.restore(kept[1].id, replace=True)
    article = await knowledge_base.get_article(GetArticle(document="a", tenant="default"))
    assert getattr(article, "text", "") == "Text 1."
    await backups.prune(1, now=taken[-1].manifest.created_at + 86_400)
    assert len(await objects.list_objects("blobs")) == 1
    with pytest.raises(ObjectMissingError):
        await objects.get("blobs/none")
    with pytest.raises(ObjectStoreUnavailableError, match="missing-bucket"):
        await ObstoreObjectStore("s3://missing-bucket/x").list_objects("manifests")
    store.close()
