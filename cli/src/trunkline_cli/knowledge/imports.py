"""`trunkline kb import`: files are read here, by the knowledge service's own reader, and handed in as plain articles.

So no file is too large for a message, a PDF never travels, and what cannot be read is told with its reason while the
rest goes in. What is stored already is left as it is: an import that broke off is simply run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import track
from trunkline_protocols.knowledge import ArticleFile, ArticlesImported, ImportArticles, ImportProblem
from trunkline_rag.core.articles import Document, parse
from watchfiles import watch

from trunkline_cli.client import post
from trunkline_cli.errors import CommandError
from trunkline_cli.settings import ClientSettings

_SUFFIXES: Final = (".md", ".markdown", ".html", ".htm", ".jsonl", ".pdf")
_BATCH_BYTES: Final = 512 * 1024


@dataclass(slots=True)
class _Read:
    """What has been read of the files so far."""

    ids: list[str] = field(default_factory=list)
    problems: list[ImportProblem] = field(default_factory=list)


def import_paths(settings: ClientSettings, paths: list[Path], tenant: str, *, prune: bool) -> ArticlesImported:
    """Hand in files and folders, in batches, with a progress bar on a terminal.

    `prune` takes out what an earlier import of the same paths has brought and the files do not hold any more.
    """
    files = [file for path in paths for file in _files(path)]
    if not files and not prune:
        raise CommandError(f"no file ending in {', '.join(_SUFFIXES)} in {', '.join(map(str, paths))}")
    source = ",".join(sorted(str(path.resolve()) for path in paths))[:400]
    read, totals = _Read(), ArticlesImported(documents=0, passages=0)
    console = Console(stderr=True)
    shown = track(files, "importing", console=console, disable=not console.is_terminal)
    batches = _batches(line for file in shown for line in _lines(file, read))
    # One behind: the last batch says that it is the last, and with it what is gone.
    pending: list[str] = []
    for batch in batches:
        if pending:
            totals = _added(totals, _hand_in(settings, _order(tenant, pending, source, more=True)))
        pending = batch
    if pending or prune:
        last = _order(tenant, pending, source, more=False, prune=prune and not read.problems, present=read.ids)
        totals = _added(totals, _hand_in(settings, last))
    return msgspec.structs.replace(totals, problems=[*read.problems, *totals.problems])


def watch_paths(settings: ClientSettings, paths: list[Path], tenant: str) -> Iterator[ArticlesImported]:
    """Import now, and again after every change, until Ctrl-C; articles of removed files go."""
    yield import_paths(settings, paths, tenant, prune=True)
    for _ in watch(*paths, raise_interrupt=False):
        yield import_paths(settings, paths, tenant, prune=True)


def _hand_in(settings: ClientSettings, order: ImportArticles) -> ArticlesImported:
    return post(settings, "/v1/ops/knowledge/import", order, ArticlesImported)


def _order(
    tenant: str, lines: list[str], source: str, *, more: bool, prune: bool = False, present: list[str] | None = None
) -> ImportArticles:
    files = [ArticleFile(name="import.jsonl", content="\n".join(lines))] if lines else []
    return ImportArticles(
        tenant=tenant, files=files, source=source, more=more, prune=prune, present=(present or []) if prune else []
    )


def _added(one: ArticlesImported, other: ArticlesImported) -> ArticlesImported:
    return ArticlesImported(
        documents=one.documents + other.documents,
        passages=one.passages + other.passages,
        problems=[*one.problems, *other.problems],
        unchanged=one.unchanged + other.unchanged,
        removed=one.removed + other.removed,
    )


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES)
    if not path.exists():
        raise CommandError(f"{path}: no such file or folder")
    return [path]


def _lines(file: Path, read: _Read) -> Iterator[str]:
    """Articles of a file, a line each; what cannot be read is noted."""
    try:
        is_text = file.suffix.lower() != ".pdf"
        content = file.read_text(encoding="utf-8") if is_text else ""
        data = b"" if is_text else file.read_bytes()
    except (OSError, UnicodeDecodeError) as error:
        read.problems.append(ImportProblem(name=file.name, reason=str(error)))
        return
    for parsed in parse(ArticleFile(name=file.name, content=content, data=data)):
        if isinstance(parsed, Document):
            read.ids.append(parsed.id)
            yield _line(parsed)
        else:
            read.problems.append(parsed)


def _line(document: Document) -> str:
    fields = {
        "id": document.id,
        "title": document.title,
        "content": document.text,
        "topics": document.topics,
        "updated": document.updated,
        **msgspec.to_builtins(document.scope),
    }
    return msgspec.json.encode(fields).decode()


def _batches(lines: Iterator[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for line in lines:
        length = len(line.encode())
        if batch and size + length > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += length
    if batch:
        yield batch
