"""Files of articles in folders: the fleet's own folder, which is imported at every start, and those of a command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trunkline_protocols.knowledge import ArticleFile, ImportArticles, ImportProblem

from trunkline_rag.core.articles import SUFFIXES
from trunkline_rag.core.articles.limits import ParseLimits

FLEET_SOURCE: Final = "fleet"


def list_files(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder, sorted, except those in hidden folders.

    Volumes of containers keep a second copy of each file in a hidden folder, and version control its own files.
    """
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parent.parts)
        if not hidden and not _is_folder(path):
            yield path


def _is_folder(path: Path) -> bool:
    """Return whether a path is a folder; one that cannot be examined is reported when it is read."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_article(path: Path) -> bool:
    """Return whether the suffix of a file is that of an article."""
    return path.suffix.lower() in SUFFIXES


def read_folder(folder: Path, tenant: str, limits: ParseLimits) -> tuple[ImportArticles, list[ImportProblem]]:
    """Read a folder as one import that prunes articles which the folder no longer contains.

    A file that cannot be read or is too large is reported; then nothing is pruned.
    """
    files: list[ArticleFile] = []
    problems: list[ImportProblem] = []
    for path in filter(is_article, list_files(folder)):
        found = read_file(path, path.relative_to(folder), limits)
        if isinstance(found, ArticleFile):
            files.append(found)
        else:
            problems.append(found)
    return ImportArticles(tenant=tenant, files=files, source=FLEET_SOURCE, prune=not problems), problems


def read_file(path: Path, name: Path, limits: ParseLimits) -> ArticleFile | ImportProblem:
    """Read a file under its name within the import; the reason for a problem does not repeat the path."""
    # A name that is not UTF-8 could not be sent.
    shown = os.fsencode(name.as_posix()).decode(errors="replace")
    try:
        if not path.is_file():
            return ImportProblem(name=shown, reason="not a regular file")
        if problem := limits.too_large(shown, path.stat().st_size):
            return problem
        return ArticleFile(name=shown, data=path.read_bytes())
    except OSError as error:
        return ImportProblem(name=shown, reason=error.strerror or type(error).__name__)
