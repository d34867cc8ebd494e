"""Sub-commands of `trunkline kb`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape
from trunkline_protocols import codec

from trunkline_cli.errors import CommandError
from trunkline_cli.knowledge import backups, imports
from trunkline_cli.knowledge.import_summary import import_lines, import_notes
from trunkline_cli.knowledge.search import search_articles
from trunkline_cli.options import DataDir, Json, Url, client_settings, console

_RENAMED: Final = {"snapshot": "backup", "list": "backups"}

knowledge = typer.Typer(help="Import, search, back up and restore the knowledge base.", no_args_is_help=True)


@knowledge.command("import")
def import_articles(
    paths: Annotated[list[Path], typer.Argument(help="Files (.md, .mdx, .txt, .html, .pdf, .csv, .jsonl) and folders")],
    url: Url = None,
    data_dir: DataDir = None,
    tenant: Annotated[str, typer.Option(help="Tenant that the articles belong to")] = "default",
    prune: Annotated[  # noqa: FBT002
        bool, typer.Option("--prune", help="Remove articles of an earlier import that these paths no longer contain")
    ] = False,
    watch: Annotated[  # noqa: FBT002
        bool, typer.Option("--watch", help="Keep running and import every change; implies --prune")
    ] = False,
) -> None:
    """Import articles; an article with the same id is replaced."""
    if watch:
        for imported in imports.watch_paths(client_settings(url, data_dir), paths, tenant):
            _print_import(imported)
        return
    imported = imports.import_paths(client_settings(url, data_dir), paths, tenant, prune=prune)
    _print_import(imported)
    if imported.result.problems:
        raise typer.Exit(1)


def _print_import(imported: imports.Imported) -> None:
    for line in import_lines(imported):
        typer.echo(line)
    for line in import_notes(imported):
        print(f"trunkline: {line}", file=sys.stderr)  # noqa: T201


@knowledge.command()
def search(
    query: Annotated[str, typer.Argument(help="Question or terms to search for")],
    url: Url = None,
    data_dir: DataDir = None,
    limit: Annotated[int, typer.Option(min=1, max=50, help="Maximum number of passages")] = 5,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Search the knowledge base as agents do."""
    hits = search_articles(client_settings(url, data_dir), query, limit)
    if as_json:
        typer.echo(codec.encode(hits))
        return
    if not hits.hits:
        typer.echo("nothing found")
    screen = console()
    for hit in hits.hits:
        screen.print(f"[bold]{escape(hit.title)}[/] ({hit.document}, {hit.score:.2f})\n{escape(hit.text)}\n")


@knowledge.command()
def backup(
    url: Url = None,
    data_dir: DataDir = None,
    full: Annotated[bool, typer.Option("--full", help="Write everything, including unchanged parts")] = False,  # noqa: FBT002
    keep: Annotated[int, typer.Option(min=0, help="Number of backups to keep; 0: TRUNKLINE_BACKUP_KEEP")] = 0,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Back up the knowledge base to the object store; imports and searches continue."""
    taken = backups.take_backup(client_settings(url, data_dir), full=full, keep=keep)
    if as_json:
        typer.echo(codec.encode(taken))
        return
    written = taken.backup
    removed = f"; {len(taken.removed)} older ones removed" if taken.removed else ""
    typer.echo(
        f"{written.id}: {written.articles} articles, {written.passages} passages, "
        f"{written.written} of {written.blobs} blobs written to {taken.location}{removed}"
    )


@knowledge.command("backups")
def list_backups(url: Url = None, data_dir: DataDir = None, as_json: Json = False) -> None:  # noqa: FBT002
    """List the backups, newest first."""
    found = backups.read_backups(client_settings(url, data_dir))
    if as_json:
        typer.echo(codec.encode(found))
    elif found.backups:
        console().print(backups.backups_table(found))
    else:
        typer.echo(f"no backups in {found.location}")


@knowledge.command()
def restore(
    backup: Annotated[str, typer.Argument(help="Id of the backup; default: the latest", show_default=False)] = "",
    url: Url = None,
    data_dir: DataDir = None,
    replace: Annotated[  # noqa: FBT002
        bool, typer.Option("--replace", help="Restore even if the knowledge base is not empty")
    ] = False,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Restore a backup; searches use the current articles until it is complete."""
    restored = backups.restore_backup(client_settings(url, data_dir), backup, replace=replace)
    if as_json:
        typer.echo(codec.encode(restored))
        return
    active = restored.backup
    typer.echo(f"{active.id} is active: {active.articles} articles, {active.passages} passages")


def _refuse_renamed(old: str, new: str) -> None:
    """Add a hidden command that refuses a former name, whatever its arguments are."""

    @knowledge.command(
        old,
        hidden=True,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def refuse() -> None:
        raise CommandError(f"`trunkline kb {old}` is now `trunkline kb {new}`")


for _old, _new in _RENAMED.items():
    _refuse_renamed(_old, _new)
