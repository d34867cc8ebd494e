"""Sub-commands of `trunkline release`."""

from __future__ import annotations

import getpass
from typing import Annotated, Literal

import typer
from trunkline_protocols import decoding
from trunkline_protocols.subjects import Colour

from trunkline_cli.fleet.command import plan_of
from trunkline_cli.options import DataDir, Json, Url, client_settings
from trunkline_cli.release import rollouts
from trunkline_cli.settings import ClientSettings

release = typer.Typer(help="Show and change the release that answers customers: blue or green.", no_args_is_help=True)


@release.command()
def status(url: Url = None, data_dir: DataDir = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Show the colour in force, and the last roll-out: its share, the turns of both, all decisions."""
    found = rollouts.read_release(client_settings(url, data_dir))
    typer.echo(decoding.encode(found) if as_json else "\n".join(rollouts.status_lines(found)))


@release.command(name="roll-out")
def roll_out(
    to: Annotated[Colour, typer.Option(help="Colour of the agents that run the new release")],
    url: Url = None,
    data_dir: DataDir = None,
    shares: Annotated[
        str, typer.Option(metavar="PERCENT,...", help="Shares of new conversations, one after another")
    ] = "5,25,50,100",
    hold: Annotated[str, typer.Option(help="Shortest time at each share, as 90s, 10m or 2h")] = "10m",
    min_turns: Annotated[int, typer.Option(min=1, help="Finished turns of the new release that each share needs")] = 30,
    slow: Annotated[str, typer.Option(help="Overhead over which a turn counts as slow")] = "1s",
    note: Annotated[str, typer.Option(help="Reason of the change, stored with the decision")] = "",
) -> None:
    """Give a share of new conversations to the agents of another colour; it goes on, or back, by itself.

    Start these agents first, with TRUNKLINE_COLOUR. A single share of 100 changes the release at once.
    """
    plan = plan_of(shares, hold, slow, min_turns)
    started = rollouts.start_release(client_settings(url, data_dir), to, plan, by=getpass.getuser(), note=note)
    typer.echo("\n".join(rollouts.status_lines(started)))


@release.command()
def pause(url: Url = None, data_dir: DataDir = None) -> None:
    """Keep the share; the new release is still withdrawn if it is worse."""
    _change("pause", client_settings(url, data_dir))


@release.command()
def resume(url: Url = None, data_dir: DataDir = None) -> None:
    """Go on with a paused roll-out."""
    _change("resume", client_settings(url, data_dir))


@release.command()
def abort(url: Url = None, data_dir: DataDir = None) -> None:
    """Withdraw the new release: its conversations get the one in force with their next turn."""
    _change("abort", client_settings(url, data_dir))


def _change(action: Literal["pause", "resume", "abort"], settings: ClientSettings) -> None:
    changed = rollouts.change_release(settings, action, by=getpass.getuser())
    typer.echo("\n".join(rollouts.status_lines(changed)))
