"""`trunkline plan`: nodes, utilisation and cost for a workload, from measured figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trunkline_cli.capacity.core.plan import Plan, PlanError, plan_for
from trunkline_cli.capacity.core.workload import Workload, WorkloadError
from trunkline_cli.capacity.output import plan_json, plan_tables
from trunkline_cli.capacity.prices_file import read_prices
from trunkline_cli.errors import CommandError
from trunkline_cli.options import Json, console


def plan(  # noqa: PLR0913 - one parameter per option
    conversations: Annotated[int, typer.Option(help="Conversations that are open at the same time")],
    turns_per_minute: Annotated[float, typer.Option(help="Turns per minute over all conversations, at the peak")],
    agents: Annotated[int, typer.Option(help="Agents of the fleet")] = 28,
    passages: Annotated[int, typer.Option(help="Passages of the knowledge base")] = 1_000,
    model_ms: Annotated[float, typer.Option(help="Time of a model for an answer, in milliseconds")] = 1_500.0,
    replicas: Annotated[int, typer.Option(help="Copies of every stream: 1, 3 or 5")] = 3,
    retention_days: Annotated[float, typer.Option(help="Days for which logs and archive are kept")] = 90.0,
    mean_share: Annotated[float, typer.Option(help="Mean rate over days as a share of the peak")] = 0.3,
    words: Annotated[bool, typer.Option("--words", help="Search by words only")] = False,  # noqa: FBT002
    prices: Annotated[
        Path | None, typer.Option(help="TOML file of nodes with their prices; docs/capacity.md has an example")
    ] = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Estimate the machines for a workload, with room for the loss of one, and the first limit."""
    offers = read_prices(prices)
    try:
        workload = Workload(
            conversations=conversations,
            turns_per_minute=turns_per_minute,
            agents=agents,
            passages=passages,
            model_ms=model_ms,
            replicas=replicas,
            retention_days=retention_days,
            by_meaning=not words,
            mean_share=mean_share,
        )
    except WorkloadError as error:
        raise CommandError(str(error)) from error
    plans: list[Plan] = []
    refusals: list[str] = []
    for offer in offers.node:
        try:
            plans.append(plan_for(workload, offer))
        except PlanError as error:
            refusals.append(str(error))
    if not plans:
        raise CommandError("; ".join(refusals))
    if as_json:
        typer.echo(plan_json(workload, plans, offers.currency, refusals))
        return
    for table in plan_tables(plans, offers.currency):
        console().print(table)
    for refusal in refusals:
        typer.echo(f"does not fit: {refusal}")
