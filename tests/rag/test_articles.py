"""Parsing of files into articles and passages; problems are reported with location and reason."""

from __future__ import annotations

import json
from io import BytesIO

from hypothesis import given, strategies as st
from pypdf import PdfWriter
from trunkline_protocols.knowledge import ArticleFile, ImportProblem
from trunkline_rag.core.articles import MAX_ARTICLE_BYTES, Document, parse, slug
from trunkline_rag.core.passages import MAX_PASSAGE_CHARACTERS, split_text
from trunkline_rag.core.scope import Scope, SearchAudience

from tests.support.pdfs import pdf_with


def documents(name: str, content: str) -> list[Document]:
    return [item for item in parse(ArticleFile(name=name, content=content)) if isinstance(item, Document)]


def problems(name: str, content: str) -> list[tuple[str, str]]:
    found = parse(ArticleFile(name=name, content=content))
    return [(item.name, item.reason) for item in found if isinstance(item, ImportProblem)]


def test_front_matter_names_the_article() -> None:
    """Id, title, topics and date; the body is kept verbatim."""
    content = "---\nid: refunds\ntitle: Refunds\ntopics: [money]\nupdated: 2026-01-02\n---\n## How long\n\nFive days.\n"
    assert documents("x.md", content) == [
        Document("refunds", "Refunds", "## How long\n\nFive days.\n", ["money"], "2026-01-02")
    ]


def test_markdown_without_front_matter_is_named_by_its_file_and_heading() -> None:
    """Any folder of Markdown can be imported."""
    (found,) = documents("first steps.md", "# First steps\n\nUnpack it.\n")
    assert (found.id, found.title) == (slug("first steps"), "First steps")


def test_html_is_read_without_navigation_scripts_and_styles() -> None:
    """Headings, paragraphs and lists are kept."""
    page = """<html><head><title>Returns &amp; refunds</title><style>p{}</style></head><body><nav>Menu</nav>
    <main><h1>Returns</h1><p>Thirty <b>days</b>.</p><ul><li>Pack it</li><li>Send it</li></ul>
    <script>alert(1)</script></main><footer>Imprint</footer></body></html>"""
    (found,) = documents("returns.html", page)
    assert found.title == "Returns & refunds"
    assert found.text == "# Returns\n\nThirty days.\n\n- Pack it\n- Send it"


def test_invalid_lines_of_jsonl_are_reported_and_the_rest_is_read() -> None:
    """Reports name file and line."""
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


def test_invalid_files_are_reported_with_the_reason() -> None:
    """Unknown suffix, invalid front matter, id or topic, empty text, too long a paragraph."""
    assert "must be one of" in problems("x.doc", "?")[0][1]
    assert "not a readable PDF" in problems("x.pdf", "?")[0][1]
    assert "visibility" in problems("x.md", "---\nid: a\nvisibility: secret\n---\ntext")[0][1]
    assert "valid_from" in problems("x.md", "---\nid: a\nvalid_from: soon\n---\ntext")[0][1]
    assert "front matter" in problems("x.md", "---\na: [\n---\ntext")[0][1]
    assert "id" in problems("x.md", '---\nid: "a/b"\n---\ntext')[0][1]
    assert "topic" in problems("x.md", "---\nid: a\ntopics: [x y]\n---\ntext")[0][1]
    assert problems("x.md", "---\nid: a\n---\n  \n")[0][1] == "text is empty"
    assert "at most" in problems("x.md", "x" * (MAX_ARTICLE_BYTES + 1))[0][1]


def test_long_text_is_split_into_articles_that_concatenate_to_it() -> None:
    """Even a page of ten megabytes is split between its blocks without loss."""
    block = "Line of a very long article.\n" * 40 + "\n"
    content = block * (3 * MAX_ARTICLE_BYTES // len(block))
    found = documents("long.md", content)
    assert [document.id for document in found[:3]] == ["long", "long-p2", "long-p3"]
    assert all(len(document.text.encode()) <= MAX_ARTICLE_BYTES for document in found)
    assert "".join(document.text for document in found) == content
    items = "- An item of a very long list.\n" * (2 * MAX_ARTICLE_BYTES // 30)
    line = "Words of a very long line. " * (2 * MAX_ARTICLE_BYTES // 26)
    for long in (items, line):
        found = documents("long.md", long)
        assert len(found) > 2
        assert "".join(document.text for document in found) == long
        # A list is divided between its items, a line between its words.
        assert not any(document.text[0].isspace() for document in found)
        assert long is line or all(document.text.startswith("- An item") for document in found)
    page = documents("big.html", "<html><body>" + "<p>Forty words of text.</p>" * 250_000 + "</body></html>")
    assert len(page) > 90


def test_pdf_is_read_and_one_without_text_is_reported() -> None:
    """A scanned page has no text layer."""
    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    empty = BytesIO()
    writer.write(empty)
    (problem,) = parse(ArticleFile(name="scan.pdf", data=empty.getvalue()))
    assert isinstance(problem, ImportProblem)
    assert "without text" in problem.reason
    (found,) = parse(ArticleFile(name="guide.pdf", data=pdf_with("A refund takes five days.")))
    assert isinstance(found, Document)
    assert found.text == "A refund takes five days."


def test_scope_is_read_from_every_format() -> None:
    """Visibility, region and dates."""
    fields = {"visibility": "internal", "region": "eu", "valid_from": "2026-01-01"}
    front = "".join(f"{key}: {value}\n" for key, value in fields.items())
    metas = "".join(f'<meta name="{key}" content="{value}">' for key, value in fields.items())
    line = json.dumps({"id": "a", "title": "A", "content": "Text.", **fields})
    scope = Scope(visibility="internal", region="eu", valid_from="2026-01-01")
    for name, content in (
        ("a.md", f"---\nid: a\n{front}---\nText."),
        ("a.html", f"<html><head>{metas}</head><body><p>Text.</p></body></html>"),
        ("a.jsonl", line),
    ):
        assert documents(name, content)[0].scope == scope


def test_scope_field_in_another_spelling_never_makes_an_article_public() -> None:
    """It is refused by name; HTML compares names without case, and refuses two values."""
    for name in ("Visibility", "VISIBILITY", "valid-from", "valid until"):
        expected = name.lower().replace("-", "_").replace(" ", "_")
        line = json.dumps({"id": "a", "title": "A", "content": "Text.", name: "internal"})
        for file, content in (("a.md", f"---\n{name}: internal\n---\nText."), ("a.jsonl", line)):
            assert f"{name!r} must be written {expected}" in problems(file, content)[0][1]
    page = "<html><head>{}</head><body><p>Text.</p></body></html>"
    upper = page.format('<META NAME="Visibility" CONTENT="internal">')
    assert documents("a.html", upper)[0].scope == Scope(visibility="internal")
    both = "".join(f'<meta name="visibility" content="{value}">' for value in ("internal", "public"))
    assert "twice" in problems("a.html", page.format(both))[0][1]


def test_field_that_is_given_twice_refuses_the_article() -> None:
    """The last value would count, so a second `public` would undo `internal`; the problem names file and field."""
    first, second = '"visibility": "internal"', '"visibility": "public"'
    line = '{"id": "a", "title": "A", "content": "Text.", %s, %s}'
    page = "<html><head>%s%s</head><body><p>Text.</p></body></html>"
    meta = '<meta name="%s" content="%s">'
    refused = {
        "a.md": "---\nvisibility: internal\ntitle: A\nvisibility: public\n---\nText.",
        "b.md": '---\nvisibility: internal\n"visib\\x69lity": public\n---\nText.',
        "c.md": f"---\n{{{first}, {second}}}\n---\nText.",
        "d.md": "---\nvisibility: internal\n? visibility\n: public\n---\nText.",
        "a.jsonl:1": line % (first, second),
        "b.jsonl:1": line % (first, '"visib\\u0069lity": "public"'),
        "c.jsonl:1": line % ('"x": {"visibility": 1}, ' + first, second),
        "a.html": page % (meta % ("visibility", "internal"), meta % ("Visibility", "public")),
        "b.html": page % (meta % ("visibility", "internal"), meta % ("visibility", "internal")),
    }
    for name, content in refused.items():
        file = name.partition(":")[0]
        assert documents(file, content) == [], name
        ((problem, reason),) = problems(file, content)
        assert problem == name
        assert "'visibility'" in reason
        assert "twice" in reason
    nested = problems("a.md", "---\nextra:\n- a: 1\n  a: 2\n---\nText.")
    assert "'a' twice" in nested[0][1]
    for key in ("<<", "!!merge more"):
        merged = f"---\nvisibility: public\n{key}: {{visibility: internal}}\n---\nText."
        assert "merge keys" in problems("a.md", merged)[0][1]
    # A name may occur in several objects of a line, and in several lines.
    lines = "\n".join('{"id": "%s", "title": "A", "content": "T", "x": {"id": 1}}' % id_ for id_ in "ab")  # noqa: UP031
    assert [found.id for found in documents("a.jsonl", lines)] == ["a", "b"]


def test_audience_sees_articles_within_its_scope() -> None:
    """An empty field restricts nothing, on either side."""
    eu = Scope(region="eu", valid_from="2026-01-01", valid_until="2026-12-31", specialties=("billing",))
    assert SearchAudience().may_see(eu)
    assert SearchAudience(region="eu", today="2026-12-31", specialty="billing").may_see(eu)
    assert not SearchAudience(region="us").may_see(eu)
    assert not SearchAudience(today="2027-01-01").may_see(eu)
    assert not SearchAudience(today="2025-12-31").may_see(eu)
    assert not SearchAudience(specialty="technical").may_see(eu)
    assert not SearchAudience().may_see(Scope(visibility="internal"))
    assert SearchAudience(internal=True).may_see(Scope(visibility="internal"))


@given(st.text(max_size=2_000))
def test_any_text_is_split_into_verbatim_chunks(text: str) -> None:
    """Every passage is a substring of its article."""
    assert all(chunk.text in text for chunk in split_text(text))


@given(st.lists(st.from_regex(r"\A[A-Za-z]{1,12}( [a-z]{1,12}){0,40}\.\Z"), min_size=1, max_size=30))
def test_only_headings_are_left_out(paragraphs: list[str]) -> None:
    """Every paragraph is in exactly one passage, and no passage exceeds the maximum."""
    chunks = split_text("# Title\n\n" + "\n\n".join(paragraphs))
    assert "\n\n".join(chunk.text for chunk in chunks) == "\n\n".join(paragraphs)
    assert all(len(chunk.text) <= MAX_PASSAGE_CHARACTERS for chunk in chunks)
    assert all(chunk.headings == "Title" for chunk in chunks)


def test_long_paragraph_is_split_between_sentences() -> None:
    """PDFs have such paragraphs; a sentence encoder would truncate them."""
    sentence = "A parcel that was sent back is paid for within five days."
    chunks = split_text("## Returns\n\n" + " ".join([sentence] * 60))
    assert len(chunks) > 5
    assert all(chunk.text.startswith("A parcel") and chunk.text.endswith("days.") for chunk in chunks)
    assert {chunk.headings for chunk in chunks} == {"Returns"}


def test_heading_inside_a_code_block_is_ignored() -> None:
    """The block keeps its indentation."""
    text = "# Setup\n\n```sh\n# not a heading\n  indented\n```\n\nUnder\n-----\n\n- one\n  - two\n"
    assert [(chunk.headings, chunk.text) for chunk in split_text(text)] == [
        ("Setup", "```sh\n# not a heading\n  indented\n```"),
        ("Setup > Under", "- one\n  - two"),
    ]
