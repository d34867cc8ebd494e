"""Files become articles and passages; what cannot be read is reported by place and reason."""

from __future__ import annotations

import json

from hypothesis import given, strategies as st
from trunkline_protocols.knowledge import ArticleFile, ImportProblem
from trunkline_rag.core.articles import LONGEST_ARTICLE_CHARACTERS, Document, parse, slug
from trunkline_rag.core.passages import LONGEST_CHARACTERS, cut


def documents(name: str, content: str) -> list[Document]:
    return [item for item in parse(ArticleFile(name=name, content=content)) if isinstance(item, Document)]


def problems(name: str, content: str) -> list[tuple[str, str]]:
    found = parse(ArticleFile(name=name, content=content))
    return [(item.name, item.reason) for item in found if isinstance(item, ImportProblem)]


def test_front_matter_names_the_article() -> None:
    """Id, title, topics and date; the body is kept as it is."""
    content = "---\nid: refunds\ntitle: Refunds\ntopics: [money]\nupdated: 2026-01-02\n---\n## How long\n\nFive days.\n"
    assert documents("x.md", content) == [
        Document("refunds", "Refunds", "## How long\n\nFive days.\n", ["money"], "2026-01-02")
    ]


def test_markdown_without_front_matter_is_named_by_its_file_and_heading() -> None:
    """Any folder of Markdown can be taken in."""
    (found,) = documents("guides/first steps.md", "# First steps\n\nUnpack it.\n")
    assert (found.id, found.title) == (slug("first steps"), "First steps")


def test_html_is_read_without_its_furniture() -> None:
    """Headings, paragraphs and lists stay; scripts, styles and navigation go."""
    page = """<html><head><title>Returns &amp; refunds</title><style>p{}</style></head><body><nav>Menu</nav>
    <main><h1>Returns</h1><p>Thirty <b>days</b>.</p><ul><li>Pack it</li><li>Send it</li></ul>
    <script>alert(1)</script></main><footer>Imprint</footer></body></html>"""
    (found,) = documents("returns.html", page)
    assert found.title == "Returns & refunds"
    assert found.text == "# Returns\n\nThirty days.\n\n- Pack it\n\n- Send it"


def test_bad_lines_of_jsonl_are_reported_and_the_rest_is_read() -> None:
    """By file and line."""
    lines = [
        json.dumps({"id": "a", "title": "A", "content": "Text."}),
        "not json",
        json.dumps({"id": "b", "title": "B"}),
        "",
        json.dumps({"id": "ü/1", "title": "C", "content": "Text."}),
    ]
    content = "\n".join(lines)
    assert [found.id for found in documents("kb.jsonl", content)] == ["a", slug("ü/1")]
    assert [name for name, _ in problems("kb.jsonl", content)] == ["kb.jsonl:2", "kb.jsonl:3"]


def test_unusable_files_say_why() -> None:
    """Wrong ending, bad front matter, bad id, nothing in it, too much in it."""
    assert "not one of" in problems("x.pdf", "?")[0][1]
    assert "front matter" in problems("x.md", "---\na: [\n---\ntext")[0][1]
    assert "id" in problems("x.md", '---\nid: "a/b"\n---\ntext')[0][1]
    assert "topic" in problems("x.md", "---\nid: a\ntopics: [x y]\n---\ntext")[0][1]
    assert problems("x.md", "---\nid: a\n---\n  \n")[0][1] == "no text in it"
    assert "at most" in problems("x.md", "x" * (LONGEST_ARTICLE_CHARACTERS + 1))[0][1]


@given(st.text(max_size=2_000))
def test_any_text_is_cut_into_verbatim_pieces(text: str) -> None:
    """A passage can always be found in its article."""
    assert all(piece.text in text for piece in cut(text))


@given(st.lists(st.from_regex(r"\A[A-Za-z]{1,12}( [a-z]{1,12}){0,40}\.\Z"), min_size=1, max_size=30))
def test_nothing_but_headings_is_left_out(paragraphs: list[str]) -> None:
    """Every paragraph is in exactly one passage, and passages are as long as they may be."""
    pieces = cut("# Title\n\n" + "\n\n".join(paragraphs))
    assert "\n\n".join(piece.text for piece in pieces) == "\n\n".join(paragraphs)
    assert all(len(piece.text) <= max(LONGEST_CHARACTERS, *map(len, paragraphs)) for piece in pieces)
    assert all(piece.headings == "Title" for piece in pieces)
