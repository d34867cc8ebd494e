"""The region of a Milvus: its collections name it, and services of another region are refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pymilvus import MilvusClient
from trunkline_chassis.bus import connect
from trunkline_chassis.provision import provision
from trunkline_protocols import codec, streams, subjects
from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_rag.adapters.milvus.client import MilvusConnection
from trunkline_rag.adapters.milvus.collections import ACTIVE_ALIAS, HOME_PROPERTY
from trunkline_rag.core.articles import Document
from trunkline_rag.core.passage_set import StagedArticle
from trunkline_rag.core.passages import split_document
from trunkline_rag.ports import StoreElsewhereError

from tests.rag.test_processes import milvus, start_rag
from tests.support.nats import nats_server

__all__ = ["milvus"]
pytestmark = pytest.mark.processes
ARTICLE = Document("wifi", "Wi-Fi", "Restart the router.", ["network"], rev=1)


def put_article(store: MilvusStore) -> None:
    store.put("default", [StagedArticle(ARTICLE, split_document(ARTICLE, "default"), None)])


def texts(store: MilvusStore) -> list[str]:
    return [row.text for row in store.read_passages().rows]


def test_folder_of_another_region_is_refused_and_released(tmp_path: Path) -> None:
    """Its own region opens it as before, and the attempt is reported with the region of the folder."""
    folder, reported = str(tmp_path / "milvus"), []
    first = MilvusStore(folder, region="eu-west-1")
    put_article(first)
    first.close()
    with pytest.raises(StoreElsewhereError, match="region 'eu-west-1': region 'us'"):
        MilvusStore(folder, region="us", on_foreign=lambda home, collection: reported.append((home, collection)))
    again = MilvusStore(folder, region="eu-west-1")
    assert texts(again) == ["Restart the router."]
    again.close()
    assert [(home, name.partition("_")[0]) for home, name in reported] == [("eu-west-1", "passages")]


def test_collections_of_an_earlier_version_belong_to_the_first_region_that_opens_them(tmp_path: Path) -> None:
    """They name no region."""
    folder = str(tmp_path / "milvus")
    MilvusStore(folder, region="eu").close()
    connection = MilvusConnection(folder)
    names = connection.active_collections()
    assert names is not None
    connection._client.drop_collection_properties(names.passages, [HOME_PROPERTY])
    assert connection.home_of(names.passages) == ""
    connection.close()
    MilvusStore(folder, region="us").close()
    with pytest.raises(StoreElsewhereError, match="region 'us'"):
        MilvusStore(folder, region="eu")


def test_new_collections_keep_the_region(tmp_path: Path) -> None:
    """A restore, and another embedder, replace the collections."""
    folder = str(tmp_path / "milvus")
    store = MilvusStore(folder, region="eu")
    put_article(store)
    dump = store.dump()
    store.replace(dump)
    store.close()
    with pytest.raises(StoreElsewhereError, match="region 'eu'"):
        MilvusStore(folder, region="us")
    store = MilvusStore(folder, region="eu")
    store.replace_vectors(store.read_passages())
    store.close()
    with pytest.raises(StoreElsewhereError, match="region 'eu'"):
        MilvusStore(folder, region="us")


def test_server_of_another_region_is_refused(milvus: str) -> None:
    """At the start, and at each reading of a process that runs: the claim of an earlier version can be lost in a race.

    The refused process leaves the collections as they are.
    """
    eu = MilvusStore(milvus, region="eu", native_search=False)
    put_article(eu)
    with pytest.raises(StoreElsewhereError, match="region 'eu'"):
        MilvusStore(milvus, region="us", native_search=False)
    eu.refresh()
    assert texts(eu) == ["Restart the router."]
    client = MilvusClient(milvus)
    passages = client.describe_alias(ACTIVE_ALIAS)["collection_name"]
    client.alter_collection_properties(passages, {HOME_PROPERTY: "us"})
    with pytest.raises(StoreElsewhereError, match="region 'us'"):
        eu.refresh()
    with pytest.raises(StoreElsewhereError):
        put_article(eu)
    with pytest.raises(StoreElsewhereError):
        eu.remove("default", ["wifi"])
    client.alter_collection_properties(passages, {HOME_PROPERTY: "eu"})
    eu.refresh()
    put_article(eu)
    eu.close()
    client.close()


async def test_refused_service_ends_and_its_attempt_is_recorded(tmp_path: Path, milvus: str) -> None:
    """In its own region, whose operator has to correct the address."""
    MilvusStore(milvus, region="eu", native_search=False).close()
    with nats_server(tmp_path) as url:
        bus = await connect(url, "test")
        await provision(bus, region="local", specialties=[], replicas=1)
        service = start_rag(1, tmp_path, milvus, url)
        try:
            code = await asyncio.to_thread(service.process.wait, 60)
            assert code != 0
            stored = await bus.last_message(streams.VIOLATIONS.name, subjects.violation("local", "collections"))
        finally:
            service.process.kill()
            service.process.wait()
            await bus.close()
    log = (tmp_path / "rag-1.log").read_text()
    assert "this Milvus holds the knowledge of region 'eu'" in log
    assert stored is not None, log
    violation = codec.violation.decode(stored.payload)
    assert (violation.from_region, violation.to_region, violation.service) == ("local", "eu", "rag")
    assert violation.asset.startswith("passages_")
