"""A parser for tests of other parts of the knowledge service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trunkline_protocols.knowledge import ArticleFile
from trunkline_rag.core.articles import ParsedItem, parse


class InProcessParser:
    """Parses without limits in the calling process."""

    def parse(self, files: Iterable[ArticleFile], *, timeout_s: float | None = None) -> Iterator[ParsedItem]:
        del timeout_s
        for file in files:
            yield from parse(file)
