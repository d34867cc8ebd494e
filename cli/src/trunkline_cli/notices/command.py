"""The sub-commands that broadcast."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
import typer

from trunkline_cli.errors import CommandError
from trunkline_cli.notices import broadcasts
from trunkline_cli.options import Json, Url, client_settings, console

notices = typer.Typer(help="Broadcasts in force.", no_args_is_help=True)


class Audience(StrEnum):
    """Whom a notice concerns."""

    agents = "agents"
    customers = "customers"
    all = "all"


class Severity(StrEnum):
    """How bad it is."""

    info = "info"
    warning = "warning"
    critical = "critical"


def notice(
    text: Annotated[str, typer.Argument(help="What everybody must know")],
    audience: Annotated[Audience, typer.Option(help="Who is told: agents say it, customers see it")],
    severity: Annotated[Severity, typer.Option(help="How bad it is")] = Severity.info,
    ttl: Annotated[str, typer.Option(help="How long it holds: 90s, 30m, 8h, 2d")] = "1h",
    specialty: Annotated[list[str] | None, typer.Option(help="Only agents of this specialty; may be repeated")] = None,
    tenant: Annotated[list[str] | None, typer.Option(help="Only customers of this tenant; may be repeated")] = None,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Broadcast to agents and customers; shows which processes have received it."""
    order = {
        "text": text,
        "audience": audience.value,
        "severity": severity.value,
        "ttl_s": broadcasts.seconds(ttl),
        "specialties": specialty or [],
        "tenants": tenant or [],
    }
    shown = broadcasts.publish(client_settings(url), order)
    if as_json:
        typer.echo(msgspec.json.encode(shown))
    else:
        typer.echo(f"{shown.notice.notice}: received by {len(shown.received_by)} processes")
        for instance in shown.received_by:
            typer.echo(f"  {instance}")
    if shown.missing:
        raise CommandError(f"{shown.notice.notice}: no receipt from {', '.join(shown.missing)}")


@notices.command("list")
def list_all(url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Show the notices in force and who has received them."""
    found = broadcasts.in_force(client_settings(url))
    if as_json:
        typer.echo(msgspec.json.encode(found))
    else:
        console().print(broadcasts.table_of(found))


@notices.command()
def recall(name: Annotated[str, typer.Argument(metavar="NOTICE", help="Its id")], url: Url = None) -> None:
    """Take a notice back: agents no longer say it, pages no longer show it."""
    recalled = broadcasts.recall(client_settings(url), name)
    typer.echo(f"{recalled.notice} is recalled")
