"""The sub-commands of `trunkline kb`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape
from trunkline_protocols.knowledge import ArticlesImported

from trunkline_cli.knowledge import backups, imports
from trunkline_cli.knowledge.search import search_articles
from trunkline_cli.options import Json, Url, client_settings, console

knowledge = typer.Typer(help="The knowledge base.", no_args_is_help=True)


@knowledge.command("import")
def import_articles(
    paths: Annotated[list[Path], typer.Argument(help="Files (.md, .html, .jsonl, .pdf) and folders")],
    url: Url = None,
    tenant: Annotated[str, typer.Option(help="Whose articles these are")] = "default",
    prune: Annotated[bool, typer.Option("--prune", help="Take out what these paths do not hold any more")] = False,  # noqa: FBT002
    watch: Annotated[bool, typer.Option("--watch", help="Stay and import every change; implies --prune")] = False,  # noqa: FBT002
) -> None:
    """Take articles into the knowledge base; a document of the same id is replaced."""
    if watch:
        for done in imports.watch_paths(client_settings(url), paths, tenant):
            _tell_import(done)
        return
    done = imports.import_paths(client_settings(url), paths, tenant, prune=prune)
    _tell_import(done)
    if done.problems:
        raise typer.Exit(1)


def _tell_import(done: ArticlesImported) -> None:
    unchanged = f", {done.unchanged} unchanged" if done.unchanged else ""
    removed = f", {done.removed} removed" if done.removed else ""
    typer.echo(f"{done.documents} documents, {done.passages} passages{unchanged}{removed}")
    for problem in done.problems:
        print(f"trunkline: {problem.name}: {problem.reason}", file=sys.stderr)  # noqa: T201


@knowledge.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for")],
    url: Url = None,
    limit: Annotated[int, typer.Option(min=1, max=50, help="Most passages to show")] = 5,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Search the knowledge base."""
    hits = search_articles(client_settings(url), query, limit)
    if as_json:
        typer.echo(msgspec.json.encode(hits))
        return
    if not hits.hits:
        typer.echo("nothing found")
    screen = console()
    for hit in hits.hits:
        screen.print(f"[bold]{escape(hit.title)}[/] ({hit.document}, {hit.score:.2f})\n{escape(hit.text)}\n")


@knowledge.command()
def backup(
    url: Url = None,
    full: Annotated[bool, typer.Option("--full", help="Write everything anew, not only what has changed")] = False,  # noqa: FBT002
    keep: Annotated[int, typer.Option(min=0, help="Backups to keep; 0: as the suite is set up")] = 0,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Write the whole knowledge base to the object store, while it serves."""
    taken = backups.take(client_settings(url), full=full, keep=keep)
    if as_json:
        typer.echo(msgspec.json.encode(taken))
        return
    made = taken.backup
    removed = f"; {len(taken.removed)} older ones removed" if taken.removed else ""
    typer.echo(
        f"{made.id}: {made.articles} articles, {made.passages} passages, "
        f"{made.written} of {made.blobs} blobs written to {taken.location}{removed}"
    )


@knowledge.command()
def restore(
    backup: Annotated[str, typer.Argument(help="Which one; default: the newest", show_default=False)] = "",
    url: Url = None,
    replace: Annotated[bool, typer.Option("--replace", help="Also where there are articles")] = False,  # noqa: FBT002
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Put a backup in force; searches go on in what was there until it is."""
    restored = backups.restore(client_settings(url), backup, replace=replace)
    if as_json:
        typer.echo(msgspec.json.encode(restored))
        return
    made = restored.backup
    typer.echo(f"{made.id} is in force: {made.articles} articles, {made.passages} passages")


@knowledge.command("backups")
def list_backups(url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """List the backups, newest first."""
    found = backups.listed(client_settings(url))
    if as_json:
        typer.echo(msgspec.json.encode(found))
    elif found.backups:
        console().print(backups.table(found))
    else:
        typer.echo(f"no backup in {found.location}")
