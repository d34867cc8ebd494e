"""Small files that take a parser minutes or gigabytes, and files that are harmless."""

from __future__ import annotations

import zlib

from trunkline_protocols.knowledge import ArticleFile

from tests.support.pdfs import pdf_of_stream

NESTED_TAGS = ArticleFile(
    name="nested.html", content="<html><body>" + "<ul><li>" * 20_000 + "x" + "</li></ul>" * 20_000 + "</body></html>"
)
"""20,000 nested lists: the time grows with the square of the depth."""


def _laughs() -> str:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    lines += [
        f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]" for before, name in zip("abcdefg", "bcdefgh", strict=True)
    ]
    return "\n".join([*lines, "title: *h"])


ALIASES = ArticleFile(name="aliases.md", content=f"---\n{_laughs()}\n---\nText.")
"""YAML of 350 bytes whose title has 43 million elements."""

_OPERATORS = b"BT /F1 12 Tf " + b"(a) Tj " * 1_400_000 + b"ET"
LONG_PDF = ArticleFile(name="long.pdf", data=pdf_of_stream(zlib.compress(_OPERATORS, 9), b"/Filter/FlateDecode"))
"""A page of 15 kB that shows 1.4 million texts."""

BOMBS = [NESTED_TAGS, ALIASES, LONG_PDF]


def harmless(name: str) -> ArticleFile:
    return ArticleFile(name=f"{name}.md", content=f"---\nid: {name}\n---\nA parcel for {name} takes five days.")
