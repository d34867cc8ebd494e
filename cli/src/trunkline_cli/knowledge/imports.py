"""`trunkline kb import`: files are parsed here by the knowledge service's parser process and sent as plain articles.

Therefore a file may be larger than a message, and a PDF is not transferred. If a file cannot be parsed, its problem is
reported and the others are imported. Unchanged articles are skipped, so an interrupted import can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import track
from trunkline_protocols import codec
from trunkline_protocols.knowledge import ArticleFile, ArticlesImported, ImportArticles, ImportProblem
from trunkline_rag.adapters.parser.process import ParserProcess
from trunkline_rag.core.articles import Document
from trunkline_rag.core.articles.limits import ParseLimits
from trunkline_rag.ports import ParserUnavailableError
from watchfiles import watch

from trunkline_cli.client import post
from trunkline_cli.errors import CommandError
from trunkline_cli.settings import ClientSettings

_SUFFIXES: Final = (".md", ".markdown", ".html", ".htm", ".jsonl", ".pdf")
_BATCH_BYTES: Final = 512 * 1024


@dataclass(slots=True)
class _Parsed:
    """Ids and problems of the files parsed so far."""

    ids: list[str] = field(default_factory=list)
    problems: list[ImportProblem] = field(default_factory=list)


def import_paths(settings: ClientSettings, paths: list[Path], tenant: str, *, prune: bool) -> ArticlesImported:
    """Import files and folders in batches, with a progress bar on a terminal.

    `prune` removes articles that an earlier import of the same paths stored and the files no longer contain.
    """
    files = [file for path in paths for file in _files(path)]
    if not files and not prune:
        raise CommandError(f"no file ending in {', '.join(_SUFFIXES)} in {', '.join(map(str, paths))}")
    source = ",".join(sorted(str(path.resolve()) for path in paths))[:400]
    parsed, totals = _Parsed(), ArticlesImported(documents=0, passages=0)
    # Each batch is sent one step late, because the last one is marked as such and lists the present articles.
    pending: list[str] = []
    for batch in _batches(_lines(files, parsed, settings.parse_limits())):
        if pending:
            totals = _sum(totals, _send(settings, _request(tenant, pending, source, more=True)))
        pending = batch
    if pending or prune:
        present = parsed.ids if prune and not parsed.problems else None
        totals = _sum(totals, _send(settings, _request(tenant, pending, source, more=False, present=present)))
    return msgspec.structs.replace(totals, problems=[*parsed.problems, *totals.problems])


def watch_paths(settings: ClientSettings, paths: list[Path], tenant: str) -> Iterator[ArticlesImported]:
    """Import now and after every change, until Ctrl-C; articles of deleted files are removed."""
    yield import_paths(settings, paths, tenant, prune=True)
    for _ in watch(*paths, raise_interrupt=False):
        yield import_paths(settings, paths, tenant, prune=True)


def _send(settings: ClientSettings, request: ImportArticles) -> ArticlesImported:
    return post(settings, "/v1/ops/knowledge/import", request, ArticlesImported)


def _request(
    tenant: str, lines: list[str], source: str, *, more: bool, present: list[str] | None = None
) -> ImportArticles:
    """Return the request for one batch; with `present`, articles of the source that it does not list are pruned."""
    files = [ArticleFile(name="import.jsonl", content="\n".join(lines))] if lines else []
    return ImportArticles(
        tenant=tenant, files=files, source=source, more=more, prune=present is not None, present=present or []
    )


def _sum(one: ArticlesImported, other: ArticlesImported) -> ArticlesImported:
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


def _lines(files: list[Path], parsed: _Parsed, limits: ParseLimits) -> Iterator[str]:
    """Yield the articles of files as JSON lines; record their ids, and problems instead of raising them."""
    console = Console(stderr=True)
    shown = track(files, "importing", console=console, disable=not console.is_terminal)
    parser = ParserProcess(limits)
    try:
        for item in parser.parse(_contents(shown, parsed, limits)):
            if isinstance(item, Document):
                parsed.ids.append(item.id)
                yield _line(item)
            else:
                parsed.problems.append(item)
    except ParserUnavailableError as error:
        raise CommandError(str(error)) from error
    finally:
        parser.close()


def _contents(files: Iterable[Path], parsed: _Parsed, limits: ParseLimits) -> Iterator[ArticleFile]:
    """Read files one after another; record those that cannot be read or are too large."""
    for file in files:
        name = file.name.encode(errors="replace").decode()
        try:
            if problem := limits.too_large(name, file.stat().st_size):
                parsed.problems.append(problem)
            elif file.suffix.lower() == ".pdf":
                yield ArticleFile(name=name, data=file.read_bytes())
            else:
                yield ArticleFile(name=name, content=file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            parsed.problems.append(ImportProblem(name=name, reason=str(error)))


def _line(document: Document) -> str:
    fields = {
        "id": document.id,
        "title": document.title,
        "content": document.text,
        "topics": document.topics,
        "updated": document.updated,
        **msgspec.to_builtins(document.scope),
    }
    return codec.encode(fields).decode()


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
