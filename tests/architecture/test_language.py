"""Docstrings and comments are standard English: the counts stay within their bounds, no banned construction is left."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.language import (
    BANNED,
    LIMITS,
    MAX_OPENERS_PERCENT,
    MEASURED,
    ROOT,
    Prose,
    banned_in,
    count,
    markdown_files,
    prose_of,
    python_files,
    table,
)

PROSE = [piece for file in python_files(MEASURED) for piece in prose_of(file)]


def test_words_stay_within_their_bounds() -> None:
    """Per 10,000 words of docstrings and comments in libs, services and cli."""
    print(table([*MEASURED]))
    counts = count(PROSE)
    for name, limit in LIMITS.items():
        figure = counts.per_10_000(name)
        assert figure >= limit.bound if limit.at_least else figure <= limit.bound, f"{name}: {figure:.1f}"
    assert counts.openers_percent <= MAX_OPENERS_PERCENT


def test_no_banned_construction_in_code() -> None:
    """Each has its replacement beside it."""
    assert banned_in(piece for file in python_files([*MEASURED, "tests", "bench"]) for piece in prose_of(file)) == []


@pytest.mark.parametrize("document", markdown_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_banned_construction_in_documents(document: Path) -> None:
    """The same words in the documentation, code spans left out."""
    lines = document.read_text(encoding="utf-8").splitlines()
    prose = [
        Prose(document, number, re.sub(r"`[^`]*`", "", line), is_docstring=False)
        for number, line in enumerate(lines, 1)
    ]
    assert banned_in(prose) == []


@pytest.mark.parametrize("pattern", BANNED)
def test_banned_construction_is_found(pattern: str) -> None:
    """A pattern that matches nothing would hold nothing."""
    sample = {
        r"\banew\b": "built anew",
        r"\bfor ever\b": "waits for ever",
    }.get(pattern) or re.sub(r"\\b|\(\?:|\)|\?", "", pattern).split("|")[0]
    assert banned_in([Prose(ROOT / "x.py", 1, f"It is {sample} then.", is_docstring=False)])
