"""Ids of articles: files of one name in different folders are all kept, and no id is taken twice in silence."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, strategies as st
from trunkline_protocols.knowledge import ArticleFile, ImportProblem
from trunkline_rag.core.articles import Document, ImportReport, file_ids, parse, slug, with_ids

_PARTS = st.text(alphabet="ab-_. é", min_size=1, max_size=6).filter(lambda part: part.strip(". "))


def imported(*files: ArticleFile) -> tuple[ImportReport, list[Document]]:
    report = ImportReport()
    items = [item for file in with_ids(files) for item in parse(file)]
    return report, [found for item in items if (found := report.accept(item)) is not None]


def test_path_makes_the_id() -> None:
    """A name at the top is the id itself, if it is a valid one."""
    names = ["index.md", "returns/index.md", "returns/eu/index.md", "how to.md", "returns/how to.md"]
    ids = file_ids(names)
    assert ids["index.md"] == "index"
    assert ids["returns/index.md"] == "returns--index"
    assert ids["returns/eu/index.md"] == "returns--eu--index"
    assert ids["how to.md"] == slug("how to")
    assert ids["returns/how to.md"] == slug("returns/how to")


def test_file_of_another_format_is_another_article() -> None:
    """The Markdown keeps the shorter id, whatever the order."""
    assert file_ids(["a/guide.html", "a/guide.md", "a/guide.txt"]) == {
        "a/guide.md": "a--guide",
        "a/guide.html": "a--guide-html",
        "a/guide.txt": "a--guide-txt",
    }


@given(st.lists(st.lists(_PARTS, min_size=1, max_size=3).map("/".join), unique=True, min_size=1, max_size=8))
def test_ids_of_different_files_differ_and_are_valid(stems: list[str]) -> None:
    """Names that a file system keeps apart; composed and decomposed accents are the same name."""
    names = {unicodedata.normalize("NFC", f"{stem}.md") for stem in stems}
    ids = file_ids(sorted(names))
    assert len(set(ids.values())) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", id_) for id_ in ids.values())
    assert file_ids([unicodedata.normalize("NFD", name) for name in sorted(names)]).keys() >= set()
    for name in names:
        decomposed = unicodedata.normalize("NFD", name)
        assert file_ids([decomposed])[decomposed] == file_ids([name])[name]


def test_files_of_one_name_in_different_folders_are_all_kept() -> None:
    """Nothing is reported."""
    names = ["billing/index.md", "returns/index.md", "returns/index.html"]
    report, documents = imported(*(ArticleFile(name=name, content=f"Text of {name}") for name in names))
    assert sorted(document.origin for document in documents) == sorted(names)
    assert report.problems == []


def test_id_that_is_given_twice_is_reported_with_both_files() -> None:
    """The first one is kept, in files and in lines of one file."""
    report, documents = imported(
        ArticleFile(name="a.md", content="---\nid: fees\n---\nOne."),
        ArticleFile(name="b/c.md", content="---\nid: fees\n---\nTwo."),
        ArticleFile(name="d.jsonl", content='\n{"id": "fees", "title": "t", "content": "Three."}'),
    )
    assert [(document.text, document.origin) for document in documents] == [("One.", "a.md")]
    reason = "the id 'fees' is also that of a.md, which is kept"
    assert report.problems == [
        ImportProblem(name="b/c.md", reason=reason),
        ImportProblem(name="d.jsonl:2", reason=reason),
    ]


def test_page_with_lost_words_is_kept_with_a_warning() -> None:
    """Below 95 percent; the words of all pages are added up."""
    report = ImportReport()
    (page,) = parse(ArticleFile(name="a.html", content="<p>One two.</p>"))
    assert isinstance(page, Document)
    assert page.words is not None
    assert report.accept(page) is page
    for id_, kept in (("b", 95), ("c", 94)):
        words = type(page.words)(visible=100, kept=kept)
        assert report.accept(Document(id_, "T", "Text.", origin=f"{id_}.html", words=words)) is not None
    assert (report.visible_words, report.kept_words) == (202, 191)
    assert report.warnings == [ImportProblem(name="c.html", reason="only 94 of 100 visible words are kept")]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_lines_of_json_end_at_line_feeds_only(separator: str) -> None:
    """Strings may hold the other separators of Unicode."""
    line = '{"id": "%s", "title": "T", "content": "One%sTwo"}'
    content = "\ufeff" + "\r\n".join(line % (id_, separator if separator > "\x1f" else " ") for id_ in "ab")
    report, documents = imported(ArticleFile(name="a.jsonl", data=content.encode()))
    assert report.problems == []
    assert [document.id for document in documents] == ["a", "b"]
