"""`trunkline kb import`: files are parsed here by the knowledge service's parser process and sent as plain articles.

Therefore a file may be larger than a message, and a PDF is not transferred. If a file cannot be parsed, its problem is
reported and the others are imported. Unchanged articles are skipped, so an interrupted import can be repeated.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import track
from trunkline_protocols import codec
from trunkline_protocols.knowledge import ArticleFile, ArticlesImported, ImportArticles, ImportProblem
from trunkline_rag.adapters.knowledge_folder import is_article, list_files, read_file
from trunkline_rag.adapters.parser.process import ParserProcess
from trunkline_rag.core.articles import SUFFIXES, Document, ImportReport, file_ids
from trunkline_rag.core.articles.limits import ParseLimits
from trunkline_rag.ports import ParserUnavailableError
from watchfiles import watch

from trunkline_cli.client import post
from trunkline_cli.errors import CommandError
from trunkline_cli.settings import ClientSettings

_BATCH_BYTES: Final = 128 * 1024
"""Some hundred passages, which a busy machine embeds within the timeout of a request."""

_BATCH_NAME: Final = "import.jsonl"


@dataclass(frozen=True, slots=True)
class Imported:
    """Result of an import, and the files that were skipped because of their format."""

    result: ArticlesImported
    skipped: list[str] = field(default_factory=list)
    """Paths within the import."""


@dataclass(frozen=True, slots=True)
class _Source:
    """Files of one import by their names, which are paths relative to its root."""

    files: dict[str, Path]
    skipped: list[str]


def import_paths(settings: ClientSettings, paths: list[Path], tenant: str, *, prune: bool) -> Imported:
    """Import files and folders in batches, with a progress bar on a terminal.

    `prune` removes articles that an earlier import of the same paths stored and the files no longer contain.
    """
    found = _find_files(paths)
    if not found.files and not prune:
        raise CommandError(f"no file ending in {', '.join(SUFFIXES)} in {', '.join(map(str, paths))}")
    source = ",".join(sorted(str(path.resolve()) for path in paths))[:400]
    report, totals = ImportReport(), ArticlesImported(documents=0, passages=0)
    # Each batch is sent one step late, because the last one is marked as such and lists the present articles.
    pending: list[Document] = []
    for batch in _batches(_articles(found.files, report, settings.parse_limits())):
        if pending:
            totals = _sum(totals, _send(settings, tenant, source, pending, more=True))
        pending = batch
    if pending or prune:
        present = list(report.origins) if prune and not report.problems else None
        totals = _sum(totals, _send(settings, tenant, source, pending, more=False, present=present))
    result = msgspec.structs.replace(
        totals,
        problems=[*report.problems, *totals.problems],
        warnings=[*report.warnings, *totals.warnings],
        visible_words=report.visible_words,
        kept_words=report.kept_words,
    )
    return Imported(result, found.skipped)


def watch_paths(settings: ClientSettings, paths: list[Path], tenant: str) -> Iterator[Imported]:
    """Import now and after every change, until Ctrl-C; articles of deleted files are removed."""
    yield import_paths(settings, paths, tenant, prune=True)
    for _ in watch(*paths, raise_interrupt=False):
        yield import_paths(settings, paths, tenant, prune=True)


def _send(
    settings: ClientSettings,
    tenant: str,
    source: str,
    documents: list[Document],
    *,
    more: bool,
    present: list[str] | None = None,
) -> ArticlesImported:
    """Send one batch; with `present`, articles of the source that it does not list are pruned."""
    content = "\n".join(map(_line, documents))
    request = ImportArticles(
        tenant=tenant,
        files=[ArticleFile(name=_BATCH_NAME, content=content)] if documents else [],
        source=source,
        more=more,
        prune=present is not None,
        present=present or [],
    )
    reply = post(settings, "/v1/ops/knowledge/import", request, ArticlesImported)
    origins = {f"{_BATCH_NAME}:{number}": document.origin for number, document in enumerate(documents, start=1)}
    return msgspec.structs.replace(
        reply, problems=_renamed(reply.problems, origins), warnings=_renamed(reply.warnings, origins)
    )


def _renamed(found: list[ImportProblem], origins: Mapping[str, str]) -> list[ImportProblem]:
    """Return problems of the lines of a batch as those of the files that the lines are from."""
    return [ImportProblem(name=origins.get(problem.name, problem.name), reason=problem.reason) for problem in found]


def _sum(one: ArticlesImported, other: ArticlesImported) -> ArticlesImported:
    return ArticlesImported(
        documents=one.documents + other.documents,
        passages=one.passages + other.passages,
        problems=[*one.problems, *other.problems],
        unchanged=one.unchanged + other.unchanged,
        removed=one.removed + other.removed,
        warnings=[*one.warnings, *other.warnings],
    )


def _find_files(paths: list[Path]) -> _Source:
    """List files by their path within the import: relative to its folder, or to the common folder of several paths."""
    for path in paths:
        if not path.exists():
            raise CommandError(f"{path}: no such file or folder")
    absolute = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100 - a link keeps its own name
    root = Path(os.path.commonpath([path if path.is_dir() else path.parent for path in absolute]))
    files: dict[str, Path] = {}
    skipped: list[str] = []
    for path in absolute:
        for file in list_files(path) if path.is_dir() else [path]:
            name = file.relative_to(root).as_posix()
            if is_article(file):
                files[name] = file
            elif not file.name.startswith("."):
                skipped.append(name)
    return _Source(files, skipped)


def _articles(files: Mapping[str, Path], report: ImportReport, limits: ParseLimits) -> Iterator[Document]:
    """Yield the articles of files, each id once; the report notes everything else."""
    console = Console(stderr=True)
    shown = track(files.items(), "importing", console=console, disable=not console.is_terminal)
    parser = ParserProcess(limits)
    try:
        for item in parser.parse(_contents(shown, file_ids(files), report, limits)):
            if (document := report.accept(item)) is not None:
                yield document
    except ParserUnavailableError as error:
        raise CommandError(str(error)) from error
    finally:
        parser.close()


def _contents(
    files: Iterable[tuple[str, Path]], ids: Mapping[str, str], report: ImportReport, limits: ParseLimits
) -> Iterator[ArticleFile]:
    """Read files one after another; report those that cannot be read or are too large."""
    for name, path in files:
        found = read_file(path, Path(name), limits)
        if isinstance(found, ArticleFile):
            yield msgspec.structs.replace(found, id=ids[name])
        else:
            report.accept(found)


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


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    size = 0
    for document in documents:
        length = len(document.text.encode())
        if batch and size + length > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += length
    if batch:
        yield batch
