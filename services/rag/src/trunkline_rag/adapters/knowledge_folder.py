"""The fleet's own folder of articles, imported at every start."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from trunkline_protocols.knowledge import ArticleFile, ImportArticles

from trunkline_rag.core.articles import SUFFIXES

FLEET_SOURCE: Final = "fleet"


def read_folder(folder: Path, tenant: str) -> ImportArticles:
    """Read a folder as one import that prunes articles which the folder no longer contains."""
    files = [
        ArticleFile(name=str(path.relative_to(folder)), data=path.read_bytes())
        if path.suffix.lower() == ".pdf"
        else ArticleFile(name=str(path.relative_to(folder)), content=path.read_text(encoding="utf-8", errors="replace"))
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES
    ]
    return ImportArticles(tenant=tenant, files=files, source=FLEET_SOURCE, prune=True)
