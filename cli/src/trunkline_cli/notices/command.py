"""`trunkline notice` and the sub-commands of `trunkline notices`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from trunkline_protocols import codec

from trunkline_cli.errors import CommandError
from trunkline_cli.notices import broadcasts
from trunkline_cli.options import DataDir, Json, Url, client_settings, console

notices = typer.Typer(help="List and recall active notices.", no_args_is_help=True)


class NoticeAudience(StrEnum):
    """Receivers of a notice."""

    agents = "agents"
    customers = "customers"
    all = "all"


class NoticeSeverity(StrEnum):
    """Severity of a notice, by which pages style it."""

    info = "info"
    warning = "warning"
    critical = "critical"


def notice(  # noqa: PLR0913 - one parameter per option
    text: Annotated[str, typer.Argument(help="Text of the notice")],
    audience: Annotated[
        NoticeAudience, typer.Option(help="Receivers: agents include it in answers, customers see a banner")
    ],
    severity: Annotated[NoticeSeverity, typer.Option(help="Severity of the notice")] = NoticeSeverity.info,
    ttl: Annotated[str, typer.Option(help="Time until it expires: 90s, 30m, 8h, 2d")] = "1h",
    specialty: Annotated[list[str] | None, typer.Option(help="Only agents of this specialty; can be repeated")] = None,
    tenant: Annotated[list[str] | None, typer.Option(help="Only customers of this tenant; can be repeated")] = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Broadcast a notice to agents, customers or both, and show its receipts."""
    request = {
        "text": text,
        "audience": audience.value,
        "severity": severity.value,
        "ttl_s": broadcasts.seconds(ttl),
        "specialties": specialty or [],
        "tenants": tenant or [],
    }
    report = broadcasts.publish_notice(client_settings(url, data_dir), request)
    if as_json:
        typer.echo(codec.encode(report))
    else:
        typer.echo(f"{report.notice.notice}: received by {len(report.received_by)} processes")
        for instance in report.received_by:
            typer.echo(f"  {instance}")
    if report.missing:
        raise CommandError(f"{report.notice.notice}: no receipt from {', '.join(report.missing)}")


@notices.command("list")
def list_notices(url: Url = None, data_dir: DataDir = None, as_json: Json = False) -> None:  # noqa: FBT002
    """List the active notices and their receipts."""
    reports = broadcasts.read_notices(client_settings(url, data_dir))
    if as_json:
        typer.echo(codec.encode(reports))
    else:
        console().print(broadcasts.notices_table(reports))


@notices.command()
def recall(
    name: Annotated[str, typer.Argument(metavar="NOTICE", help="Id of the notice")],
    url: Url = None,
    data_dir: DataDir = None,
) -> None:
    """Recall a notice: agents and pages stop showing it."""
    recalled = broadcasts.recall_notice(client_settings(url, data_dir), name)
    typer.echo(f"{recalled.notice} recalled")
