"""`trunkline doctor`: examine this machine, the servers and their streams, and change nothing."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import msgspec
import typer
from rich.table import Table
from trunkline_chassis.logs import configure_logs
from trunkline_supervisor.settings import SuiteSettings, inherited_environment

from trunkline_cli.doctor.diagnosis import Diagnosis
from trunkline_cli.doctor.machine import examine_folder, examine_port, examine_variables
from trunkline_cli.doctor.nats import examine_nats
from trunkline_cli.options import DataDir, Json, console

_COLOURS = {"ok": "green", "note": "yellow", "error": "red"}


def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Examine settings, folder, port, NATS and its streams; exit status 1 if one keeps the suite from working."""
    # Imported here: it loads the settings of every service.
    from trunkline_cli.reference.configuration import variables  # noqa: PLC0415

    # The findings say what the log of the connection would say.
    configure_logs(service="doctor", instance="doctor", level="error", style="console")
    settings = SuiteSettings()
    if data_dir is not None:
        settings = settings.model_copy(update={"data_dir": data_dir})
    findings = [
        *examine_variables(inherited_environment(), variables()),
        *examine_folder(settings.data_dir),
        examine_port(settings.http_port, settings.data_dir),
        *asyncio.run(examine_nats(settings)),
    ]
    if as_json:
        typer.echo(msgspec.json.encode({"findings": [asdict(each) for each in findings]}))
    else:
        console().print(_table(findings))
    if any(each.level == "error" for each in findings):
        raise typer.Exit(1)


def _table(findings: list[Diagnosis]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in findings:
        table.add_row(f"[{_COLOURS[each.level]}]{each.level}[/]", each.part, each.text)
    return table
