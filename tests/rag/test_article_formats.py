"""Plain text, MDX and CSV as articles, and PDFs that are none."""

from __future__ import annotations

from io import BytesIO

import pytest
from pypdf import PdfWriter
from trunkline_protocols.knowledge import ArticleFile, ImportProblem
from trunkline_rag.core.articles import Document, parse
from trunkline_rag.core.passages import split_text

from tests.support.pdfs import pdf_with


def read(name: str, content: str | bytes) -> tuple[list[Document], dict[str, str]]:
    """Return the articles, and the reasons by place."""
    file = ArticleFile(name=name, data=content if isinstance(content, bytes) else content.encode())
    items = list(parse(file))
    problems = {item.name: item.reason for item in items if isinstance(item, ImportProblem)}
    return [item for item in items if isinstance(item, Document)], problems


def test_plain_text_is_named_by_its_first_line() -> None:
    """The text is kept verbatim."""
    ((found,), problems) = read("notes/returns.txt", "-----\nReturns of boats\n\nWithin five days.\n")
    assert not problems
    assert (found.id, found.title) == ("notes--returns", "Returns of boats")
    assert found.text == "-----\nReturns of boats\n\nWithin five days.\n"


def test_components_of_mdx_are_left_out() -> None:
    """Imports, exports, comments and lines of tags; code blocks are kept verbatim."""
    text = (
        "import {Tabs} from '@theme'\nexport const x = {\n  a: 1,\n}\n\n# Returns\n\n<Tabs>\n<Tab label=\"EU\">\n\n"
        "Within five days.{/* check */}\n\n</Tab>\n</Tabs>\n\n```js\nimport x from 'y'\n<Tabs>\n```\n"
    )
    ((found,), _) = read("returns.mdx", text)
    assert found.title == "Returns"
    assert found.text.split() == (
        "# Returns Within five days. ```js import x from 'y' <Tabs> ```".split()  # noqa: SIM905
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("columns", [("question", "answer"), ("Title", "Text"), ("title", "content")])
def test_rows_of_a_table_are_articles(delimiter: str, columns: tuple[str, str]) -> None:
    """The id is that of the question: it stays if rows are added before it."""
    rows = [delimiter.join(columns), f'When?{delimiter}"In five{delimiter}\n""days""."', "", f"Where?{delimiter}Here."]
    first, problems = read("faq.csv", "\ufeff" + "\r\n".join(rows))
    assert not problems
    assert [(row.title, row.text) for row in first] == [("When?", f'In five{delimiter}\n"days".'), ("Where?", "Here.")]
    assert [row.origin for row in first] == ["faq.csv:2", "faq.csv:5"]
    rows.insert(1, f"Why?{delimiter}Because.")
    assert [row.id for row in read("faq.csv", "\n".join(rows))[0]][1:] == [row.id for row in first]
    assert {row.id for row in read("b/faq.csv", "\n".join(rows))[0]}.isdisjoint(row.id for row in first)


def test_table_has_the_fields_of_json_lines() -> None:
    """Access rules too."""
    table = 'id,question,answer,topics,visibility\nfees,How much?,Five.,"billing, fees",internal\n'
    ((found,), _) = read("faq.csv", table)
    assert (found.id, found.topics, found.scope.visibility) == ("fees", ["billing", "fees"], "internal")


@pytest.mark.parametrize(
    ("table", "place", "reason"),
    [
        ("When?,In five days.\n", "a.csv", "the first row must name the columns"),
        ("question,answer,visible to\nWhen?,Now.,agents\n", "a.csv", "column 'visible to' must be one of"),
        ("question,answer,valid-from\nWhen?,Now.,\n", "a.csv", "'valid-from' must be written valid_from"),
        ("question,answer,answer\nWhen?,Now.,Never.\n", "a.csv", "'content' is given twice"),
        ("question,answer\nWhen?,Now.\nWhy?\n", "a.csv:3", "1 cells, but 2 columns"),
        ('question,answer\nWhen?,Now.\nWhy?,"Because\nWho?,I.\n', "a.csv:3", "the rest is not read"),
        ("question,answer,visibility\nWhen?,Now.,public\nWhy?,No.,secret\n", "a.csv:3", "visibility"),
        ("question,answer\nWhen?,Now.\nWhy?,\n", "a.csv:3", "text is empty"),
        ("", "a.csv", "the first row must name the columns"),
    ],
)
def test_row_or_table_that_cannot_be_read_is_reported(table: str, place: str, reason: str) -> None:
    """The rows before are read."""
    documents, problems = read("a.csv", table)
    assert list(problems) == [place]
    assert reason in problems[place]
    assert len(documents) == (1 if ":" in place else 0)


def test_pdf_that_is_none_is_reported_by_name() -> None:
    """Empty, truncated, another format, and one without text."""
    good = pdf_with("A refund takes five days.")
    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    scanned = BytesIO()
    writer.write(scanned)
    refused = {
        "empty.pdf": b"",
        "false.pdf": b"<html><body>Not found</body></html>",
        "cut.pdf": good[: len(good) // 3],
        "scan.pdf": scanned.getvalue(),
    }
    for name, data in refused.items():
        documents, problems = read(name, data)
        assert documents == []
        assert list(problems) == [name]
        assert "PDF" in problems[name]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\r", "\r\n"])
def test_passages_have_their_headings_despite_other_separators(separator: str) -> None:
    """Markdown ends lines at fewer characters than Python does."""
    text = f"# Guide\n\nOne.{separator}Two.{separator}Three.\n\n## Next\n\nFour.\n"
    chunks = [(chunk.headings, chunk.text.split()) for chunk in split_text(text)]
    assert chunks == [("Guide", ["One.", "Two.", "Three."]), ("Guide > Next", ["Four."])]
