"""Pages as Markdown, and the share of their words that it keeps."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from html_to_markdown import ConversionOptions, PreprocessingOptions, convert

from trunkline_rag.core.articles.document import InvalidArticleError, WordCount
from trunkline_rag.core.articles.html_content import TERM_END, PageContent

_OPTIONS: Final = ConversionOptions(
    compact_tables=True,
    autolinks=False,
    extract_metadata=False,
    skip_images=True,
    infer_dimensions=False,
    # The content has been chosen already.
    preprocessing=PreprocessingOptions(enabled=False, remove_navigation=False, remove_forms=False),
)
_TERM_AND_TEXT: Final = re.compile(rf"[ \t]*{TERM_END}\n+(?![ \t]*(?:#|>|\||```|~~~|[-*+] |\d{{1,9}}[.)] |\n|\Z))")
"""A term and the paragraph after it, which must not be separated by the limits of a passage."""

_WORD: Final = re.compile(r"\w+")
_MARKUP: Final = re.compile(r"[*`~\\]|\]\([^()\s]*\)")


def write_markdown(content: PageContent) -> tuple[str, WordCount]:
    """Return the content of a page as Markdown, and how many of its words are in it.

    Raises `InvalidArticleError`.
    """
    try:
        pieces = [(convert(str(piece), _OPTIONS).content or "").strip("\n") for piece in content.html]
    except Exception as error:  # the converter raises errors of its own; one page never ends an import
        raise InvalidArticleError(f"cannot be converted: {type(error).__name__}") from error
    text = _TERM_AND_TEXT.sub("  \n", "\n\n".join(pieces)).replace(TERM_END, "").strip()
    return text, count_words(str(content.text), text)


def count_words(visible: str, markdown: str) -> WordCount:
    """Count the words that a reader sees, repetitions included, and those of them that are in the Markdown."""
    seen, held = _words(visible), _words(markdown)
    return WordCount(visible=seen.total(), kept=(seen & held).total())


def _words(text: str) -> Counter[str]:
    return Counter(match[0] for match in _WORD.finditer(_MARKUP.sub("", text)))
