"""The store on a real Milvus Lite: atomic replacement, versions, crash recovery."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from trunkline_protocols.knowledge import ArticleFile, ImportArticles
from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_rag.application.knowledge_base import KnowledgeBase
from trunkline_rag.core.articles import Document
from trunkline_rag.core.passage_set import StagedArticle
from trunkline_rag.core.passages import split_document
from trunkline_rag.ports import StoreUnavailableError

from tests.rag.sample_articles import FILES, import_files
from tests.support import live_folder
from tests.support.parsers import InProcessParser

pytestmark = pytest.mark.processes

OLD = Document(
    "refunds", "Refunds", "First.\n\n" + "\n\n".join(f"Paragraph {n} {'x' * 800}" for n in range(3)), ["a"], rev=1
)
NEW = Document("refunds", "Refunds", "Only this.", ["b"], "2026-02-02", rev=2)
OTHER = Document("wifi", "Wi-Fi", "Restart the router.", ["network"], rev=1)


def staged(*documents: Document, tenant: str = "default") -> list[StagedArticle]:
    return [StagedArticle(document, split_document(document, tenant), None) for document in documents]


def test_article_of_the_same_id_is_replaced_and_its_old_version_stays_readable(store: MilvusStore) -> None:
    """No passage of the old text remains, and a citation still opens the text that it quotes."""
    store.put("default", staged(OLD, OTHER))
    store.put("default", staged(NEW))
    assert store.get("default", "refunds") == (NEW, True)
    assert store.get("default", "refunds", 1) == (OLD, False)
    assert sorted(row.text for row in store.read_passages().rows) == ["Only this.", "Restart the router."]


def test_removed_article_is_not_found_and_its_versions_stay_readable(store: MilvusStore) -> None:
    """Removing an unknown article is no error."""
    store.put("default", staged(OTHER))
    store.remove("default", ["wifi", "unknown"])
    assert store.read_passages().rows == []
    assert store.latest_versions("default") == {}
    assert store.get("default", "wifi") is None
    assert store.get("default", "wifi", 1) == (OTHER, False)


async def test_article_that_is_imported_again_after_its_removal_stays(tmp_path: Path) -> None:
    """It gets a version after the tombstone, so that it is current before and after reopening."""
    store = MilvusStore(str(tmp_path / "milvus"))
    knowledge_base = KnowledgeBase(store, parser=InProcessParser())
    file = ArticleFile(name="wifi.md", content="---\nid: wifi\n---\nRestart the router.")
    for files in ([file], [], [file]):
        request = ImportArticles(tenant="default", files=files, source="here", prune=True)
        await knowledge_base.import_articles(request)
    assert store.latest_versions("default")["wifi"].rev == 3
    store.close()
    reopened = MilvusStore(str(tmp_path / "milvus"))
    assert [row.text for row in reopened.read_passages().rows] == ["Restart the router."]
    assert reopened.get("default", "wifi") is not None
    reopened.close()


def test_tenants_have_separate_articles(store: MilvusStore) -> None:
    """Even of the same id."""
    store.put("one", staged(OLD, tenant="one"))
    store.put("two", staged(NEW, tenant="two"))
    assert store.get("one", "refunds") == (OLD, True)
    assert store.get("two", "refunds") == (NEW, True)
    assert store.get("three", "refunds") is None


def test_stored_articles_are_there_after_reopening(tmp_path: Path) -> None:
    """Passages and latest versions are the same."""
    first = MilvusStore(str(tmp_path / "milvus"))
    first.put("default", staged(OLD, OTHER))
    rows, latest_versions = first.read_passages().rows, first.latest_versions("default")
    first.close()
    second = MilvusStore(str(tmp_path / "milvus"))
    assert second.read_passages().rows == rows
    assert second.latest_versions("default") == latest_versions
    second.close()


WRITER = """
import asyncio, sys
from trunkline_protocols.knowledge import ArticleFile, ImportArticles
from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_rag.adapters.parser.process import ParserProcess
from trunkline_rag.application.knowledge_base import KnowledgeBase
from trunkline_rag.core.articles.limits import ParseLimits

async def main():
    knowledge_base = KnowledgeBase(MilvusStore(sys.argv[1]), parser=ParserProcess(ParseLimits()))
    print("open", flush=True)
    files = [ArticleFile(name="kb.jsonl", content=sys.stdin.read())]
    await knowledge_base.import_articles(ImportArticles(tenant="default", files=files))
    print("done", flush=True)

asyncio.run(main())
"""


def test_repeated_import_after_a_kill_loses_and_duplicates_nothing(tmp_path: Path) -> None:
    """The writer is killed during an import over older versions of half of the articles."""
    folder = str(tmp_path / "milvus")
    before = [f'{{"id": "d{n}", "title": "D", "content": "Old {n}."}}' for n in range(0, 1_200, 2)]
    after = [f'{{"id": "d{n}", "title": "D", "content": "New {n}.\\n\\n{"x" * 598}"}}' for n in range(1_200)]
    after = [line.replace("\n", "\\n") for line in after]
    run_writer(folder, before, kill=False)
    run_writer(folder, after, kill=True)
    store = MilvusStore(folder)
    knowledge_base = KnowledgeBase(store, parser=InProcessParser())
    rows = store.read_passages().rows
    assert {row.document for row in rows} >= {f"d{n}" for n in range(0, 1_200, 2)}
    assert len({(row.document, row.text) for row in rows}) == len(rows)
    assert all(len({row.rev for row in rows if row.document == f"d{n}"}) <= 1 for n in range(0, 1_200, 97))
    request = ImportArticles(tenant="default", files=[ArticleFile(name="kb.jsonl", content="\n".join(after))])
    asyncio.run(knowledge_base.import_articles(request))
    expected = sorted([*(f"New {n}." for n in range(1_200)), *["x" * 598] * 1_200])
    assert sorted(row.text for row in store.read_passages().rows) == expected
    store.close()
    # Milvus has the same content as the file beside it, and no orphans.
    for file in Path(folder).glob("*.kept"):
        file.unlink()
    store = MilvusStore(folder)
    assert sorted(row.text for row in store.read_passages().rows) == expected
    assert len(list(store._milvus.read_rows(store._names.passages, ["key"]))) == len(expected)
    store.close()


def run_writer(folder: str, lines: list[str], *, kill: bool) -> None:
    program = [sys.executable, "-c", WRITER, folder]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        writer.stdin.write("\n".join(lines))
        writer.stdin.close()
        if not kill:
            assert "done\n" in writer.stdout
            return
        # The property holds at every moment; most runs hit the middle of the import.
        log = Path(folder) / "knowledge.db"
        size = folder_bytes(log)
        while folder_bytes(log) < size + 200_000 and writer.poll() is None:
            pass
        writer.kill()


def folder_bytes(folder: Path) -> int:
    total = 0
    for path in live_folder.paths(folder):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


@pytest.mark.parametrize("failing", ["passages", "articles"])
async def test_repeated_import_after_a_failure_loses_and_duplicates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """The write fails before or after the row of the article; the same process continues."""
    store = MilvusStore(str(tmp_path / "milvus"))
    knowledge_base = KnowledgeBase(store, parser=InProcessParser())
    await import_files(knowledge_base, source="here")
    insert = store._milvus.insert

    def insert_and_fail(collection: str, rows: list[dict[str, object]]) -> None:
        insert(collection, rows)
        if collection.startswith(failing):
            raise OSError("connection lost")

    def files(text: str) -> list[ArticleFile]:
        return [ArticleFile(name=f"{n}.md", content=f"---\nid: {n}\n---\n{text} {n}.") for n in ("refunds", "more")]

    with monkeypatch.context() as patch:
        patch.setattr(store._milvus, "insert", insert_and_fail)
        with pytest.raises(StoreUnavailableError):
            await import_files(knowledge_base, source="here", files=files(f"Long.\n\n{'x' * 900}\n\nLong"))
    await import_files(knowledge_base, source="here", files=files("New"))
    last = ArticleFile(name="last.md", content="---\nid: last\n---\nLast.")
    await import_files(knowledge_base, source="here", files=[last])
    expected = {"refunds": "New refunds.", "more": "New more.", "last": "Last."}
    for _ in range(2):
        rows = store.read_passages().rows
        assert {row.document: row.text for row in rows if row.document in expected} == expected
        assert len(list(store._milvus.read_rows(store._names.passages, ["key"]))) == len(rows) == len(FILES) + 2
        store.close()
        for file in (tmp_path / "milvus").glob("*.kept"):
            file.unlink()
        store = MilvusStore(str(tmp_path / "milvus"))
    store.close()


def test_second_process_on_one_folder_is_refused(tmp_path: Path) -> None:
    """It fails with a clear error, and the folder stays intact."""
    folder = str(tmp_path / "milvus")
    first = MilvusStore(folder)
    program = f"from trunkline_rag.adapters.milvus import MilvusStore; MilvusStore({folder!r})"
    second = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    first.close()
    assert second.returncode != 0
    assert "open in another process" in second.stderr
