"""The fleet's own folder of articles, imported at every start."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from trunkline_protocols.knowledge import ArticleFile, ImportArticles, ImportProblem

from trunkline_rag.core.articles import SUFFIXES
from trunkline_rag.core.articles.limits import ParseLimits

FLEET_SOURCE: Final = "fleet"


def read_folder(folder: Path, tenant: str, limits: ParseLimits) -> tuple[ImportArticles, list[ImportProblem]]:
    """Read a folder as one import that prunes articles which the folder no longer contains.

    A file that cannot be read or is too large is reported; then nothing is pruned.
    """
    files: list[ArticleFile] = []
    problems: list[ImportProblem] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.is_dir():
            found = _read_file(path, str(path.relative_to(folder)), limits)
            if isinstance(found, ArticleFile):
                files.append(found)
            else:
                problems.append(found)
    return ImportArticles(tenant=tenant, files=files, source=FLEET_SOURCE, prune=not problems), problems


def _read_file(path: Path, name: str, limits: ParseLimits) -> ArticleFile | ImportProblem:
    try:
        if not path.is_file():
            return ImportProblem(name=name, reason="not a regular file")
        if problem := limits.too_large(name, path.stat().st_size):
            return problem
        if path.suffix.lower() == ".pdf":
            return ArticleFile(name=name, data=path.read_bytes())
        return ArticleFile(name=name, content=path.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        return ImportProblem(name=name, reason=str(error))
