"""Sub-commands of `trunkline retention`."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape
from rich.table import Table
from trunkline_audit.application.retention_run import RunReport
from trunkline_audit.core.retention.plan import RetentionPlan
from trunkline_audit.core.retention.policy import RetentionPolicy
from trunkline_chassis.object_store import local_folder
from trunkline_protocols import codec

from trunkline_cli.options import DataDir, Json, console, local_time
from trunkline_cli.retention import runs
from trunkline_cli.retention.holds import hold

retention = typer.Typer(help="Archive and trim closed conversations by a policy.", no_args_is_help=True)
retention.add_typer(hold, name="hold")

Policy = Annotated[
    Path | None,
    typer.Option(help="File of the policy; default: $TRUNKLINE_RETENTION_POLICY, or retention.toml of the data folder"),
]
Location = Annotated[
    str | None,
    typer.Option(
        "--to", help="Location of archives; default: $TRUNKLINE_RETENTION_URL, or a folder of the data folder"
    ),
]


class PlanReportRow(msgspec.Struct, kw_only=True):
    """Records with one outcome by one rule; `bytes` of their payloads, `oldest` in Unix seconds."""

    rule: str
    outcome: str
    groups: int
    records: int
    bytes: int
    oldest: float | None


class PlanReport(msgspec.Struct, kw_only=True):
    """The plan; `at` and `oldest_kept` in Unix seconds."""

    at: float
    rules: int
    rows: list[PlanReportRow]
    oldest_kept: float | None


@retention.command()
def plan(policy: Policy = None, data_dir: DataDir = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Show the effect of a run, without any change."""
    settings = runs.command_settings(data_dir, policy, None)
    rules = runs.read_policy(settings)
    report = _report(asyncio.run(_plan(settings, rules)), rules)
    if as_json:
        typer.echo(codec.encode(report))
        return
    if rules.keeps_everything:
        typer.echo("no rule has an age: everything is kept")
    console().print(_table(report))
    if report.oldest_kept is not None:
        typer.echo(f"oldest closed or single record that stays: {local_time(report.oldest_kept)}")


@retention.command()
def run(
    policy: Policy = None,
    location: Location = None,
    data_dir: DataDir = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Archive due records, verify the archive, then trim streams and tables."""
    settings = runs.command_settings(data_dir, policy, location)
    rules = runs.read_policy(settings)
    if local_folder(settings.retention_url) is None:
        print(  # noqa: T201
            "trunkline: the bucket's default retention (Object Lock) cannot be checked from here; set it, so that "
            "archives cannot be deleted",
            file=sys.stderr,
        )
    report = asyncio.run(_run(settings, rules))
    typer.echo(codec.encode(report) if as_json else _summary(report))


async def _plan(settings: runs.RetentionCommandSettings, policy: RetentionPolicy) -> RetentionPlan:
    async with runs.open_run(settings, policy) as opened:
        return await opened.plan()


async def _run(settings: runs.RetentionCommandSettings, policy: RetentionPolicy) -> RunReport:
    async with runs.open_run(settings, policy) as opened:
        return await opened.run()


def _report(found: RetentionPlan, policy: RetentionPolicy) -> PlanReport:
    rows = [
        PlanReportRow(
            rule=row.rule,
            outcome=row.outcome,
            groups=row.groups,
            records=row.records,
            bytes=row.bytes,
            oldest=_seconds(row.oldest),
        )
        for row in sorted(found.rows.values(), key=lambda row: (row.rule, row.outcome))
    ]
    return PlanReport(
        at=found.as_of.timestamp(), rules=len(policy.rules), rows=rows, oldest_kept=_seconds(found.oldest_kept)
    )


def _seconds(at: datetime | None) -> float | None:
    return at.timestamp() if at is not None else None


def _table(report: PlanReport) -> Table:
    table = Table("rule", "outcome", box=None, pad_edge=False)
    for heading in ("records", "bytes", "oldest"):
        table.add_column(heading, justify="right")
    for row in report.rows:
        oldest = local_time(row.oldest) if row.oldest is not None else ""
        table.add_row(escape(row.rule or "(no rule)"), row.outcome, f"{row.records:,}", f"{row.bytes:,}", oldest)
    return table


def _summary(report: RunReport) -> str:
    archive = f"archive {report.archive} with {report.objects} objects is verified, " if report.archive else ""
    waiting = f", {report.waiting} conversations wait for a consumer" if report.waiting else ""
    return f"{archive}{report.archived} records archived, {report.trimmed} trimmed, {report.held} held{waiting}"
