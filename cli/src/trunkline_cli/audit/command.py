"""Sub-commands of `trunkline audit`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from trunkline_protocols import codec

from trunkline_cli.audit import archive, stream_heads
from trunkline_cli.audit.stream_heads import HeadStreamSettings
from trunkline_cli.errors import CommandError
from trunkline_cli.options import DataDir, Json, client_settings

Postgres = Annotated[
    str | None,
    typer.Option(help="Address of the archive; default: $TRUNKLINE_POSTGRES_DSN, or the PostgreSQL of the data folder"),
]


class AuditReport(msgspec.Struct, kw_only=True):
    """Result of a verification; `first` and `last` are leaves of the tree of records, `broken` has a line per fault.

    `uncovered` records are newer than the last head, which vouches for the others.

    `archived` records have their bytes in archives only; `in_archives` counts the records that archives were found to
    have, `in_stream` the heads of stream HEADS that were compared, `timestamps` those of authorities. `unread` has the
    reasons for which archives or the stream could not be read.
    """

    ok: bool
    records: int
    first: int | None
    last: int | None
    broken: list[str]
    heads: int
    unsigned: int
    uncovered: int
    archived: int
    in_archives: int
    unread: list[str]
    in_stream: int = 0
    timestamps: int = 0


audit = typer.Typer(help="Verify, prove and export the audit trail.", no_args_is_help=True)


@audit.command()
def verify(
    postgres: Postgres = None,
    data_dir: DataDir = None,
    heads: Annotated[Path | None, typer.Option(help="Heads that a witness kept, from `trunkline audit heads`")] = None,
    key: Annotated[str, typer.Option(help="Public key that you trust, in hex; default: those in the archive")] = "",
    tsa_ca: Annotated[
        Path | None, typer.Option(help="Certificates of timestamp authorities that you trust (PEM): check their tokens")
    ] = None,
    conversation: Annotated[str, typer.Option(help="Verify the records of one conversation, by their proofs")] = "",
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Verify every record against the signed heads; exit status 1 if anything was changed.

    Its heads are compared with those of stream HEADS, unless an address is given for PostgreSQL alone.
    """
    address = _address(postgres, data_dir)
    if conversation:
        checked = asyncio.run(archive.verify_conversation(address, conversation, heads, key))
    else:
        published, unread = _published_heads(postgres, data_dir)  # before the records: each head is stored there first
        checked = asyncio.run(archive.verify(address, heads, key, published))
        checked.unread = [*checked.unread, *unread]
    if tsa_ca is not None:
        checked.timestamps, faults = asyncio.run(archive.verify_timestamps(address, tsa_ca))
        checked.faults += faults
    if as_json:
        typer.echo(codec.encode(_report(checked)))
    else:
        for line in (*checked.faults, *checked.unread, checked.summary):
            typer.echo(line)
        if checked.in_archives:
            typer.echo(f"{checked.in_archives} records are in verified archives")
        if checked.in_stream:
            typer.echo(f"{checked.in_stream} of the heads are in stream HEADS")
        if tsa_ca is not None:
            typer.echo(f"{checked.timestamps} timestamps of authorities were checked")
    if checked.faults:
        raise typer.Exit(1)


def _report(checked: archive.AuditVerification) -> AuditReport:
    leaves = checked.leaves or range(checked.records)
    return AuditReport(
        ok=not checked.faults,
        records=checked.records,
        first=leaves[0] if leaves else None,
        last=leaves[-1] if leaves else None,
        broken=checked.faults,
        heads=checked.heads,
        unsigned=checked.unsigned,
        uncovered=checked.uncovered,
        archived=checked.archived,
        in_archives=checked.in_archives,
        unread=list(checked.unread),
        in_stream=checked.in_stream,
        timestamps=checked.timestamps,
    )


@audit.command()
def export(
    folder: Annotated[Path, typer.Argument(help="New folder for the export and the file that checks it")],
    postgres: Postgres = None,
    data_dir: DataDir = None,
) -> None:
    """Write all records and heads to a folder, which can be checked without Trunkline."""
    records = asyncio.run(archive.export(_address(postgres, data_dir), folder))
    typer.echo(f"{records} records; check them: python {archive.VERIFIER_NAME} {archive.EXPORT_NAME} in {folder}")


@audit.command()
def prove(
    conversation: Annotated[str, typer.Argument(help="Conversation")],
    postgres: Postgres = None,
    data_dir: DataDir = None,
    since: Annotated[int, typer.Option(min=0, help="Records of an earlier head, to prove that nothing changed")] = 0,
) -> None:
    """Print the records of a conversation with their proofs, for the same check as an export."""
    records = asyncio.run(archive.prove(_address(postgres, data_dir), conversation, since, sys.stdout))
    print(f"trunkline: {records} records", file=sys.stderr)  # noqa: T201


@audit.command()
def heads(
    postgres: Postgres = None,
    data_dir: DataDir = None,
    after: Annotated[int, typer.Option(min=0, help="Only heads of more records than this")] = 0,
    follow: Annotated[  # noqa: FBT002
        bool, typer.Option("--follow", help="Keep running and print every new head: a witness, on another machine")
    ] = False,
    stream: Annotated[  # noqa: FBT002
        bool, typer.Option("--stream", help="Read stream HEADS of NATS instead of PostgreSQL")
    ] = False,
) -> None:
    """Print the signed heads of the tree of records."""
    if stream:
        settings, folder = HeadStreamSettings(), client_settings(None, data_dir).data_dir
        asyncio.run(stream_heads.print_heads(settings, folder, sys.stdout, after=after, follow=follow))
    else:
        asyncio.run(archive.print_heads(_address(postgres, data_dir), sys.stdout, after=after, follow=follow))


def _published_heads(postgres: str | None, data_dir: Path | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the heads of stream HEADS, or the reason for which they cannot be compared."""
    settings, client = HeadStreamSettings(), client_settings(None, data_dir)
    if settings.nats_url is None and (postgres or client.postgres_dsn):
        return [], ["stream HEADS is not compared: name its server with TRUNKLINE_NATS_URL"]
    try:
        return asyncio.run(stream_heads.read_heads(settings, client.data_dir)), []
    except CommandError as error:
        return [], [f"stream HEADS is not compared: {error}"]


def _address(postgres: str | None, data_dir: Path | None) -> str:
    settings = client_settings(None, data_dir)
    return archive.archive_address(postgres or settings.postgres_dsn, settings.data_dir)
