"""`trunkline customer`: the known data about a customer, shown or deleted; all data as a document."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.table import Table
from trunkline_ingress.core.customer_export import CustomerExport
from trunkline_ingress.core.customer_view import CustomerView
from trunkline_ingress.handlers.ops.customers import CustomerBody, Forgotten
from trunkline_protocols import codec

from trunkline_cli.client import post
from trunkline_cli.errors import CommandError
from trunkline_cli.options import DataDir, Json, Url, client_settings, console

customer = typer.Typer(help="Show, forget or export the stored data of a customer.", no_args_is_help=True)

CustomerId = Annotated[str, typer.Argument(metavar="ID", help="Id of the customer")]
Tenant = Annotated[str, typer.Option(help="Tenant of the customer")]
_PATH: Final = "/v1/ops/customers"
_EXPORT_TIMEOUT_S: Final = 1_800.0
"""Without the audit trail the whole log is read."""


@customer.command()
def show(
    customer_id: CustomerId,
    tenant: Tenant = "default",
    url: Url = None,
    data_dir: DataDir = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Show facts with their ages, claims, and the end of the last conversation (operators with the role lead)."""
    view = post(client_settings(url, data_dir), f"{_PATH}/show", CustomerBody(customer_id, tenant), CustomerView)
    if as_json:
        typer.echo(codec.encode(view))
    else:
        console().print(_table(view))


@customer.command()
def forget(customer_id: CustomerId, tenant: Tenant = "default", url: Url = None, data_dir: DataDir = None) -> None:
    """Delete the data from the bucket and from the memory of all processes (operators with the role admin)."""
    body = CustomerBody(customer_id, tenant)
    if not post(client_settings(url, data_dir), f"{_PATH}/forget", body, Forgotten).forgotten:
        raise CommandError("nothing is known about this customer")
    typer.echo("forgotten")


@customer.command()
def export(customer_id: CustomerId, tenant: Tenant = "default", url: Url = None, data_dir: DataDir = None) -> None:
    """Print conversations, ratings, facts and claims as JSON (operators with the role admin)."""
    body = CustomerBody(customer_id, tenant)
    exported = post(
        client_settings(url, data_dir), f"{_PATH}/export", body, CustomerExport, timeout_s=_EXPORT_TIMEOUT_S
    )
    typer.echo(codec.encode(exported))
    if exported.note:
        typer.echo(f"trunkline: {exported.note}", err=True)


def _table(view: CustomerView) -> Table:
    table = Table("name", "value", "age", title=f"{view.tenant} / {view.customer}")
    for fact in view.facts:
        rows = fact.value.items() if isinstance(fact.value, dict) else [("", fact.value)]
        for key, value in rows:
            table.add_row(f"{fact.name} {key}".strip(), str(value), f"{fact.age_s:g} s")
    for name, value in view.claims.items():
        table.add_row(f"claim {name}", value, "")
    for reading in view.readings:
        if reading.failure:
            table.add_row(f"reader {reading.reader}", f"not read: {reading.failure}", f"{reading.age_s:g} s")
    for message in view.earlier:
        table.add_row(f"earlier, {message.role}", message.text, "")
    return table
