"""Front matter: access rules are read in every usual form, and refuse the article in every other one."""

from __future__ import annotations

import codecs

import pytest
from trunkline_protocols.knowledge import ArticleFile, ImportProblem
from trunkline_rag.core.articles import Document, ParsedItem, parse

INTERNAL = "id: limits\nvisibility: internal\ntopics: [billing]"
TEXT = "Agents may grant a credit."


def read(name: str, content: str | bytes) -> list[ParsedItem]:
    file = ArticleFile(name=name, data=content if isinstance(content, bytes) else content.encode())
    return list(parse(file))


@pytest.mark.parametrize(
    "header",
    [
        f"---\n{INTERNAL}\n---\n",
        f"\ufeff---\n{INTERNAL}\n---\n",
        f"\ufeff\ufeff---\n{INTERNAL}\n---\n",
        f"\u200b---\n{INTERNAL}\n---\n",
        f"\n\n---\n{INTERNAL}\n---\n",
        f"---  \n{INTERNAL}\n---\t\n",
        f"---\n{INTERNAL}\n...\n",
        f"---\n{INTERNAL}\n---\n".replace("\n", "\r\n"),
        f"---\n{INTERNAL}\n---\n".replace("\n", "\r"),
        '+++\nid = "limits"\nvisibility = "internal"\ntopics = ["billing"]\n+++\n',
        '{\n"id": "limits", "visibility": "internal",\n"topics": ["billing"]\n}\n',
        "---\nid: limits\nvisibility: internal\ntopics: billing\n---\n",
    ],
)
@pytest.mark.parametrize("suffix", [".md", ".markdown", ".mdx", ".txt", ".html"])
def test_header_is_read_in_every_usual_form(header: str, suffix: str) -> None:
    """Byte order marks, blank lines and blanks, line ends, the end marker of YAML, TOML, JSON, one topic."""
    (found,) = read(f"limits{suffix}", header + TEXT)
    assert isinstance(found, Document)
    assert (found.id, found.scope.visibility, found.topics) == ("limits", "internal", ["billing"])
    assert found.text.strip() == TEXT


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_byte_order_mark_selects_the_encoding(encoding: str) -> None:
    """Editors on Windows save "Unicode" so."""
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}.get(encoding) or (
        codecs.BOM_UTF32_LE if encoding == "utf-32-le" else codecs.BOM_UTF32_BE
    )
    (found,) = read("limits.md", mark + f"---\n{INTERNAL}\n---\nÜber.".encode(encoding))
    assert isinstance(found, Document)
    assert (found.text, found.scope.visibility) == ("Über.", "internal")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (f"---\n{INTERNAL}\n\n{TEXT}", "must end with a line ---"),
        (f'+++\nvisibility = "internal"\n\n{TEXT}', "must end with a line +++"),
        (f"----\n{INTERNAL}\n----\n{TEXT}", "is not in front matter"),
        (f"--\n{INTERNAL}\n--\n{TEXT}", "is not in front matter"),
        (f"{INTERNAL}\n\n{TEXT}", "is not in front matter"),
        (f"Title: Limits\nVisibility: internal\n\n{TEXT}", "is not in front matter"),
        (f"<!-- licence -->\n---\n{INTERNAL}\n---\n{TEXT}", "is not in front matter"),
        (f"---yaml\nid: limits\n\nvisibility: internal\n---\n{TEXT}", "is not in front matter"),
        (f"---\nvisibility internal\n---\n{TEXT}", "must be a mapping"),
        (f"---\n\nvisibility internal\n\n---\n{TEXT}", "is not in front matter"),
        (f"---\n- visibility: internal\n---\n{TEXT}", "must be a mapping"),
        (f"---\nid: a\nupdated: 2026-02-30\n---\n{TEXT}", "day is out of range"),
        (f"+++\nupdated = 2026-02-30\n+++\n{TEXT}", "front matter"),
        (f"+++\nvisibility = internal\n+++\n{TEXT}", "front matter"),
        (f'{{"visibility": "internal", "visibility": "public"}}\n{TEXT}', "twice"),
        (f'{{"visibility": "internal",\n{TEXT}', "front matter"),
        (f"---\ntopics: 5\n---\n{TEXT}", "topics must be a list"),
        (f"---\ntopics: {{billing: yes}}\n---\n{TEXT}", "topics must be a list"),
        (f"---\ntopics: a b\n---\n{TEXT}", "topic 'a b'"),
        (f"---\ntitle: [a, b]\n---\n{TEXT}", "title must be one value"),
        (f"---\nspecialties: {{a: b}}\n---\n{TEXT}", "must be a list"),
    ],
)
def test_header_that_cannot_be_read_refuses_the_article(content: str, reason: str) -> None:
    """Without it, an internal article would be public."""
    (problem,) = read("a.md", content)
    assert isinstance(problem, ImportProblem)
    assert problem.name == "a.md"
    assert reason in problem.reason


def test_line_between_paragraphs_is_no_header() -> None:
    """Many texts begin with one."""
    content = "---\n\nWelcome to the guide.\n\n---\n\nThe guide covers all.\n"
    (found,) = read("guide.md", content)
    assert isinstance(found, Document)
    assert found.text == content


def test_one_specialty_need_not_be_a_list() -> None:
    """Read as a list of characters, it would be no specialty at all."""
    (found,) = read("a.md", f"---\nspecialties: billing\n---\n{TEXT}")
    assert isinstance(found, Document)
    assert found.scope.specialties == ("billing",)


def test_page_has_its_rules_in_one_place() -> None:
    """A header before a page counts, and a second value in the page refuses it."""
    page = "---\nvisibility: internal\n---\n<html><head>{}</head><body><p>Text.</p></body></html>"
    (found,) = read("a.html", page.format(""))
    assert isinstance(found, Document)
    assert found.scope.visibility == "internal"
    assert found.text == "Text."
    (problem,) = read("a.html", page.format('<meta name="visibility" content="public">'))
    assert isinstance(problem, ImportProblem)
    assert "twice" in problem.reason
    (limited,) = read("b.html", '<meta name="specialties" content="billing, returns"><p>Text.</p>')
    assert isinstance(limited, Document)
    assert limited.scope.specialties == ("billing", "returns")


@pytest.mark.parametrize("name", ["a.md", "a.txt", "a.csv", "a.jsonl"])
def test_file_that_is_not_utf_8_is_refused_with_its_line(name: str) -> None:
    """Replaced characters could be those of an access rule."""
    (problem,) = read(name, "one\nzwei\nPreisüberblick\n".encode("latin-1"))
    assert isinstance(problem, ImportProblem)
    assert problem.reason == "byte 0xfc in line 3 is not UTF-8; save the file as UTF-8"
