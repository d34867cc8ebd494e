"""Sub-commands of `trunkline backup`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table
from trunkline_chassis.errors import BusError
from trunkline_chassis.logs import configure_logs
from trunkline_protocols import codec
from trunkline_supervisor.adapters.folder_lock import exclusive_lock
from trunkline_supervisor.settings import SuiteSettings

from trunkline_cli.backup.creation import Creation, OptionalPart
from trunkline_cli.backup.keys import back_up_keys
from trunkline_cli.backup.manifest import SuiteManifest
from trunkline_cli.backup.restoration import Restoration, verify as verify_parts
from trunkline_cli.backup.roll_forward import RESERVE, StreamAdvance, roll_forward
from trunkline_cli.backup.servers import new_archive, new_broker
from trunkline_cli.backup.store import BackupStore
from trunkline_cli.errors import CommandError
from trunkline_cli.options import DataDir, Json, Url, client_settings, console

_UMASK: Final = 0o077
"""A backup holds texts of customers, and secrets."""

Store = Annotated[
    str | None,
    typer.Option(help="Folder outside of the data folder, or s3://bucket/prefix; default: $TRUNKLINE_BACKUP_STORE"),
]
Without = Annotated[list[OptionalPart] | None, typer.Option(help="Leave a part out: archive, knowledge or secrets")]
BackupId = Annotated[
    str,
    typer.Argument(
        metavar="BACKUP",
        help="Id of the backup, or a moment such as '2026-11-28 06:00+00:00': the last one before; default: the latest",
    ),
]

backup = typer.Typer(
    help="Back up a whole suite (streams, archive, knowledge base, secrets) and restore it into an empty folder.",
    no_args_is_help=True,
)


@backup.command()
def create(
    store: Store = None,
    url: Url = None,
    data_dir: DataDir = None,
    without: Without = None,
    keep: Annotated[int, typer.Option(min=0, help="Number of backups to keep; 0: all")] = 0,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Take a backup of the running suite, which goes on serving."""
    _prepare()
    settings = _suite_settings(data_dir)
    creation = Creation(settings, client_settings(url, data_dir), _store(store, settings), frozenset(without or ()))
    _print(asyncio.run(_create(creation, keep)), as_json=as_json)


async def _create(creation: Creation, keep: int) -> SuiteManifest:
    manifest = await creation.run()
    if keep:
        await creation.store.prune(keep)
    return manifest


@backup.command()
def keys(store: Store = None, data_dir: DataDir = None) -> None:
    """Back up the keys of customers alone, every few minutes, for messages that a restore takes from the archive."""
    _prepare()
    settings = _suite_settings(data_dir)
    taken = asyncio.run(back_up_keys(settings, _store(store, settings)))
    typer.echo(f"{taken.id}: {taken.stream.state.get('messages', 0)} keys")


@backup.command("list")
def list_backups(store: Store = None, as_json: Json = False) -> None:  # noqa: FBT002
    """List the backups, newest first."""
    location = _location(store)
    found = asyncio.run(BackupStore(location).manifests())
    if as_json:
        for manifest in found:
            _print(manifest, as_json=True)
    elif found:
        console().print(_table(location, found))
    else:
        typer.echo(f"no backups in {location}")


@backup.command()
def verify(backup_id: BackupId = "", store: Store = None) -> None:
    """Read every part of a backup and compare it with its hash; exit status 1 if one is damaged."""

    async def run() -> SuiteManifest:
        opened = BackupStore(_location(store))
        manifest = await opened.manifest(await _chosen(opened, backup_id))
        await verify_parts(opened, manifest)
        return manifest

    manifest = asyncio.run(run())
    typer.echo(f"{manifest.id}: {len(manifest.parts)} parts are undamaged")


@backup.command()
def restore(
    backup_id: BackupId = "",
    store: Store = None,
    data_dir: DataDir = None,
    replace: Annotated[  # noqa: FBT002
        bool, typer.Option("--replace", help="Replace the streams and tables of servers that are named by address")
    ] = False,
    key_file: Annotated[
        Path | None, typer.Option(help="Wrapping key of the customers' texts, which no backup holds")
    ] = None,
    erasures: Annotated[
        Path | None,
        typer.Option(help="List of erasures (erasures.jsonl) until now; else those after the backup are undone"),
    ] = None,
    keep_archive: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--keep-archive",
            help="Keep the later archive in TRUNKLINE_POSTGRES_DSN, and roll the streams forward to it",
        ),
    ] = False,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Restore a backup into a new data folder while no suite runs, and compare it with the manifest."""
    _prepare()
    settings = _suite_settings(data_dir)
    opened = _store(store, settings)

    async def run() -> tuple[SuiteManifest, list[StreamAdvance]]:
        found = await _chosen(opened, backup_id)
        manifest = await Restoration(settings, opened, replace, key_file, erasures, keep_archive).run(found)
        return manifest, await _roll_forward(settings, RESERVE) if keep_archive else []

    manifest, advances = asyncio.run(run())
    _print_advances(advances, err=True)
    _print(manifest, as_json=as_json)
    if manifest.knowledge is not None and not as_json:
        typer.echo(f"start the suite, then: trunkline kb restore {manifest.knowledge.backup} --replace")


@backup.command("roll-forward")
def roll_forward_streams(
    data_dir: DataDir = None,
    reserve: Annotated[
        int, typer.Option(min=0, help="Sequences of INBOX and CONVERSATIONS to leave unused behind the last one")
    ] = RESERVE,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Append messages that the archive has and restored streams lack, under their sequences, while no suite runs."""
    _prepare()
    advances = asyncio.run(_roll_forward(_suite_settings(data_dir), reserve))
    if as_json:
        typer.echo(codec.encode(advances))
    else:
        _print_advances(advances)


async def _roll_forward(settings: SuiteSettings, reserve: int) -> list[StreamAdvance]:
    with exclusive_lock(settings.data_dir):
        try:
            async with new_broker(settings) as broker, new_archive(settings) as archive:
                return await roll_forward(broker.bus, archive.dsn, region=settings.region, reserve=reserve)
        except BusError as error:
            raise CommandError(f"NATS: {error}; `trunkline backup roll-forward` goes on from there") from error


async def _chosen(store: BackupStore, text: str) -> str:
    """Return the id of the backup that a command names, by itself or by a moment."""
    if "-" not in text:
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{text!r} is neither a backup nor a moment such as 2026-11-28 06:00+00:00") from None
    if moment.tzinfo is None:
        raise CommandError(f"{text!r} has no offset from UTC, such as +00:00")
    return (await store.last_before(moment.timestamp())).id


def _prepare() -> None:
    os.umask(_UMASK)
    configure_logs(service="backup", instance="backup", level="error", style="console")


def _print_advances(advances: Sequence[StreamAdvance], *, err: bool = False) -> None:
    for each in advances:
        typer.echo(
            f"{each.stream}: {each.restored} -> {each.last}, {each.appended} messages of the archive appended, "
            f"{each.unused} missing in it",
            err=err,
        )


def _suite_settings(data_dir: Path | None) -> SuiteSettings:
    given: dict[str, Any] = {"data_dir": data_dir} if data_dir is not None else {}
    return SuiteSettings(**given)


def _location(store: str | None) -> str:
    location = store or client_settings(None).backup_store
    if not location:
        raise CommandError("name a store with --store or TRUNKLINE_BACKUP_STORE")
    return location


def _store(store: str | None, settings: SuiteSettings) -> BackupStore:
    url = _location(store)
    if "://" not in url and Path(url).absolute().is_relative_to(settings.data_dir.absolute()):
        raise CommandError(f"{url} is in the data folder and would be lost with it; name another --store")
    return BackupStore(url)


def _print(manifest: SuiteManifest, *, as_json: bool) -> None:
    if as_json:
        typer.echo(codec.encode(manifest))
        return
    messages = sum(stream.state.get("messages", 0) for stream in manifest.streams)
    rows = sum(manifest.archive.rows.values()) if manifest.archive is not None else 0
    size_mib = sum(part.size for part in manifest.parts) / 2**20
    typer.echo(
        f"{manifest.id}: {len(manifest.streams)} streams with {messages} messages, {rows} rows of the archive, "
        f"{size_mib:.1f} MiB in {len(manifest.parts)} parts"
    )


def _table(location: str, manifests: list[SuiteManifest]) -> Table:
    table = Table(title=location, title_justify="left", box=None, pad_edge=False)
    for heading in ("backup", "begun", "version"):
        table.add_column(heading, no_wrap=True)
    for heading in ("messages", "rows", "MiB"):
        table.add_column(heading, justify="right")
    for manifest in manifests:
        table.add_row(
            manifest.id,
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(manifest.begun_at)),
            manifest.version,
            str(sum(stream.state.get("messages", 0) for stream in manifest.streams)),
            str(sum(manifest.archive.rows.values())) if manifest.archive is not None else "-",
            f"{sum(part.size for part in manifest.parts) / 2**20:.1f}",
        )
    return table
