"""The store on a real Milvus Lite."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_rag.core.articles import Document

pytestmark = pytest.mark.processes

OLD = Document("refunds", "Refunds", "First.\n\n" + "\n\n".join(f"Paragraph {n} {'x' * 800}" for n in range(3)), ["a"])
NEW = Document("refunds", "Refunds", "Only this.", ["b"], "2026-02-02")
OTHER = Document("wifi", "Wi-Fi", "Restart the router.", ["network"])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MilvusStore]:
    """An empty store."""
    opened = MilvusStore(str(tmp_path / "milvus"))
    yield opened
    opened.close()


def test_document_of_the_same_id_is_replaced_whole(store: MilvusStore) -> None:
    """No passage of the old text stays."""
    assert store.put("default", [OLD, OTHER]) == 4
    assert store.put("default", [NEW]) == 1
    assert store.get("default", "refunds") == NEW
    rows = store.rows()
    assert sorted(row.text for row in rows) == ["Only this.", "Restart the router."]
    assert store.digests("default") == {"refunds": NEW.digest, "wifi": OTHER.digest}


def test_tenants_have_articles_of_their_own(store: MilvusStore) -> None:
    """Also under the same id."""
    store.put("one", [OLD])
    store.put("two", [NEW])
    assert store.get("one", "refunds") == OLD
    assert store.get("two", "refunds") == NEW
    assert store.get("three", "refunds") is None


def test_what_was_stored_is_there_after_reopening(tmp_path: Path) -> None:
    """A folder outlives its process."""
    first = MilvusStore(str(tmp_path / "milvus"))
    first.put("default", [OLD, OTHER])
    rows = first.rows()
    first.close()
    second = MilvusStore(str(tmp_path / "milvus"))
    assert second.rows() == rows
    second.close()


WRITER = """
import sys
from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_rag.core.articles import Document
store = MilvusStore(sys.argv[1])
number = 0
while True:
    store.put("default", [Document(f"d{number}", "D", f"Text {number}.")])
    print(number, flush=True)
    number += 1
"""


def test_killed_writer_loses_nothing_that_it_has_acknowledged(tmp_path: Path) -> None:
    """Kill -9 in mid-import, then open again."""
    folder = str(tmp_path / "milvus")
    writer = subprocess.Popen([sys.executable, "-c", WRITER, folder], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(5)]
    writer.kill()
    writer.wait()
    store = MilvusStore(folder)
    texts = [row.text for row in store.rows()]
    assert len(set(texts)) == len(texts)
    assert {f"Text {number}." for number in acknowledged} <= set(texts)
    store.close()


def test_second_process_on_one_folder_is_told_so(tmp_path: Path) -> None:
    """A clear error, not a broken folder."""
    folder = str(tmp_path / "milvus")
    first = MilvusStore(folder)
    program = f"from trunkline_rag.adapters.milvus import MilvusStore; MilvusStore({folder!r})"
    second = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    first.close()
    assert second.returncode != 0
    assert "open in another process" in second.stderr
