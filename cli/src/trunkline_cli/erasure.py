"""`trunkline erase` and `trunkline keys`: erasure of a customer, and the key that encrypts those of customers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from trunkline_ingress.handlers.ops.customers import CustomerBody, Rewrapped
from trunkline_protocols import codec
from trunkline_protocols.customer_keys import CustomerErased

from trunkline_cli.client import post
from trunkline_cli.options import DataDir, Json, Url, client_settings

keys = typer.Typer(help="The key that encrypts the keys of customers.", no_args_is_help=True)


def erase(
    customer_id: Annotated[str, typer.Option("--customer", metavar="ID", help="Id of the customer")],
    tenant: Annotated[str, typer.Option(help="Tenant of the customer")] = "default",
    url: Url = None,
    data_dir: DataDir = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Erase a customer: destroy the key of all texts, close open conversations, and print a receipt.

    The texts are unreadable from then on, wherever a copy of them is; proofs of the audit trail still hold. Operators
    with the role admin only; there is no way back.
    """
    body = CustomerBody(customer_id, tenant)
    receipt = post(client_settings(url, data_dir), "/v1/ops/customers/erase", body, CustomerErased)
    if as_json:
        typer.echo(codec.encode(receipt))
        return
    at = datetime.fromtimestamp(receipt.at, UTC).isoformat(timespec="seconds")
    typer.echo(
        f"erased at {at} by {receipt.operator}\n"
        f"customer  {receipt.customer} (hash of tenant {receipt.tenant} and the id)\n"
        f"key       {receipt.fingerprint} (destroyed)"
    )


@keys.command()
def rewrap(url: Url = None, data_dir: DataDir = None) -> None:
    """Encrypt the keys of all customers with the first line of the key file (operators with the role admin)."""
    changed = post(client_settings(url, data_dir), "/v1/ops/keys/rewrap", {}, Rewrapped).keys
    typer.echo(f"{changed} keys encrypted again")
