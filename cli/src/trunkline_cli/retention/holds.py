"""Sub-commands of `trunkline retention hold`."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.markup import escape
from rich.table import Table
from trunkline_ingress.handlers.ops.holds import HoldBody, ReleaseBody
from trunkline_protocols import codec
from trunkline_protocols.holds import HoldPlaced, HoldReleased

from trunkline_cli.client import get, post
from trunkline_cli.errors import CommandError
from trunkline_cli.options import DataDir, Json, Url, client_settings, console, local_time

hold = typer.Typer(help="Legal holds, which keep records beyond their retention.", no_args_is_help=True)

_PATH: Final = "/v1/ops/holds"
Reason = Annotated[str, typer.Option(help="Reason, which is recorded")]
By = Annotated[str, typer.Option(help="Name of the person, for the shared token of a single machine")]


@hold.command()
def add(
    reason: Reason,
    conversation: Annotated[str | None, typer.Option(help="Conversation to keep")] = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant to keep, or that of the customer")] = None,
    customer: Annotated[str | None, typer.Option(help="Customer of the tenant to keep")] = None,
    by: By = "",
    url: Url = None,
    data_dir: DataDir = None,
) -> None:
    """Keep the records of a conversation, a customer or a tenant; print the id of the hold."""
    if (conversation is None) == (tenant is None) or (customer is not None and tenant is None):
        raise CommandError("name either --conversation, or --tenant, or --tenant and --customer")
    body = HoldBody(reason, conversation, tenant, customer, by)
    typer.echo(post(client_settings(url, data_dir), _PATH, body, HoldPlaced).hold)


@hold.command("list")
def list_all(url: Url = None, data_dir: DataDir = None, as_json: Json = False) -> None:  # noqa: FBT002
    """List the active holds."""
    holds = get(client_settings(url, data_dir), _PATH, list[HoldPlaced])
    if as_json:
        typer.echo(codec.encode(holds))
        return
    table = Table("hold", "since", "by", "keeps", "reason", box=None, pad_edge=False)
    for each in holds:
        by = f"{each.operator} ({each.role})"
        table.add_row(each.hold, local_time(each.placed_at), escape(by), escape(_kept(each)), escape(each.reason))
    console().print(table)


@hold.command()
def remove(
    name: Annotated[str, typer.Argument(metavar="HOLD", help="Id of the hold")],
    reason: Reason,
    by: By = "",
    url: Url = None,
    data_dir: DataDir = None,
) -> None:
    """Release a hold (operators with the role admin)."""
    released = post(client_settings(url, data_dir), f"{_PATH}/{name}/release", ReleaseBody(reason, by), HoldReleased)
    typer.echo(f"{released.hold} is released")


def _kept(placed: HoldPlaced) -> str:
    if placed.conversation is not None:
        return f"conversation {placed.conversation}"
    return f"customer {placed.customer} of {placed.tenant}" if placed.customer else f"tenant {placed.tenant}"
