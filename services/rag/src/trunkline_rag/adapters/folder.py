"""The fleet's own folder of articles: read at the start, kept in step with the knowledge base."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from trunkline_protocols.knowledge import ArticleFile, ImportArticles

SOURCE: Final = "fleet"
_SUFFIXES: Final = (".md", ".markdown", ".html", ".htm", ".jsonl", ".pdf")


def folder_order(folder: Path, tenant: str) -> ImportArticles:
    """Read a folder as one import: what is not in it any more goes."""
    files = [
        ArticleFile(name=str(path.relative_to(folder)), data=path.read_bytes())
        if path.suffix.lower() == ".pdf"
        else ArticleFile(name=str(path.relative_to(folder)), content=path.read_text(encoding="utf-8", errors="replace"))
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in _SUFFIXES
    ]
    return ImportArticles(tenant=tenant, files=files, source=SOURCE, prune=True)
