"""Sub-commands of `trunkline fleet`."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated, Literal

import typer
from trunkline_protocols import decoding
from trunkline_protocols.fleet import Fleet

from trunkline_cli.errors import CommandError
from trunkline_cli.fleet import rollouts, versions
from trunkline_cli.fleet.core.durations import parse_duration, parse_shares
from trunkline_cli.fleet.core.findings import is_clean
from trunkline_cli.fleet.core.reach import reach
from trunkline_cli.options import DataDir, Json, Url, client_settings, console
from trunkline_cli.settings import ClientSettings

fleet = typer.Typer(help="Show and change the active version of the fleet.", no_args_is_help=True)
rollout = typer.Typer(help="Show and change the roll-out of a version by shares.", no_args_is_help=True)
fleet.add_typer(rollout, name="rollout")
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder with fleet.toml and agents/")]


@fleet.command()
def show(url: Url = None, data_dir: DataDir = None, as_json: Json = False) -> None:  # noqa: FBT002
    """List the retained versions, the active one last; with --json print the active fleet."""
    settings = client_settings(url, data_dir)
    if as_json:
        typer.echo(decoding.encode(versions.read_active(settings)))
    else:
        console().print(versions.versions_table(versions.read_versions(settings)))


@fleet.command()
def check(folder: Folder, as_json: Json = False) -> None:  # noqa: FBT002
    """Check a folder without a suite: all that loading refuses, and all that has no effect.

    Exit status 1 if there is an error or a warning, 2 if the folder holds no fleet.
    """
    # Imported here: the rules for schemas take a tenth of a second that other commands do not need.
    from trunkline_cli.fleet.core.check import check_folder  # noqa: PLC0415
    from trunkline_cli.fleet.findings_output import findings_lines, findings_report  # noqa: PLC0415
    from trunkline_cli.fleet.folder_reader import read_fleet_folder  # noqa: PLC0415

    findings = check_folder(read_fleet_folder(folder))
    if as_json:
        typer.echo(decoding.encode(findings_report(folder, findings)))
    else:
        typer.echo("\n".join(findings_lines(folder, findings)))
    if not is_clean(findings):
        raise typer.Exit(1)


@fleet.command(name="try")
def try_(
    folder: Folder,
    questions: Annotated[list[str], typer.Argument(metavar="QUESTION", help="First message of a conversation")],
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Show what a folder would do with questions, without a suite: intent, agent, articles with scores, answer."""
    # Imported here: the trainer takes a second and 190 MiB that other commands do not need.
    from trunkline_embedding.settings import EmbedderSettings  # noqa: PLC0415

    from trunkline_cli.fleet.trial import FleetTrial, trial_lines  # noqa: PLC0415

    trial = FleetTrial(folder, EmbedderSettings().embedder_choice())
    for number, question in enumerate(questions):
        found = trial.ask(question)
        if as_json:
            typer.echo(decoding.encode(found))
        else:
            typer.echo("\n".join([*([""] if number else []), *trial_lines(found)]))


@fleet.command()
def diff(folder: Folder, url: Url = None, data_dir: DataDir = None) -> None:
    """Validate a folder; show how it differs from the active fleet, and all that its tools would reach."""
    active, wanted, lines = versions.compare_folder(client_settings(url, data_dir), folder)
    for line in lines or [_no_difference(active)]:
        typer.echo(line)
    _show_reach(wanted, active)


@fleet.command()
def apply(
    folder: Folder,
    url: Url = None,
    data_dir: DataDir = None,
    note: Annotated[str, typer.Option(help="Reason of the change, stored with the version")] = "",
    share: Annotated[
        str, typer.Option(metavar="PERCENT,...", help="Roll out by these shares of new conversations, as 5,25,100")
    ] = "",
    hold: Annotated[str, typer.Option(help="With --share: shortest time at each share, as 90s, 10m or 2h")] = "10m",
    min_turns: Annotated[
        int, typer.Option(min=1, help="With --share: finished turns of the new version that each share needs")
    ] = 30,
    slow: Annotated[str, typer.Option(help="With --share: overhead over which a turn counts as slow")] = "1s",
) -> None:
    """Validate a folder and make it the active fleet; turns in flight keep their version.

    With --share, only a share of new conversations gets the new version at first. It goes on, or back, by itself: see
    `trunkline fleet rollout status`.
    """
    from trunkline_cli.fleet.folder_warnings import find_warnings, print_warnings  # noqa: PLC0415 - as in `check`

    plan = plan_of(share, hold, slow, min_turns) if share else None
    settings = client_settings(url, data_dir)
    active, wanted, lines = versions.compare_folder(settings, folder)
    print_warnings(find_warnings(folder))
    if not lines:
        typer.echo(_no_difference(active))
        return
    for line in lines:
        typer.echo(line)
    _show_reach(wanted, active)
    if plan is not None:
        started = rollouts.start_rollout(settings, wanted, plan, after=active.version, by=getpass.getuser(), note=note)
        typer.echo("\n".join(rollouts.status_lines(started)))
        return
    _await_loaded(
        settings, versions.apply_fleet(settings, wanted, after=active.version, by=getpass.getuser(), note=note)
    )


@fleet.command()
def rollback(
    url: Url = None,
    data_dir: DataDir = None,
    to: Annotated[int, typer.Option(min=0, help="Version to restore; 0: the previous one")] = 0,
) -> None:
    """Make an older version the active fleet again."""
    settings = client_settings(url, data_dir)
    _await_loaded(settings, versions.roll_back(settings, to=to, by=getpass.getuser()))


@rollout.command()
def status(url: Url = None, data_dir: DataDir = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Show the last roll-out: its share, the turns of both versions, and all decisions with their reasons."""
    found = rollouts.read_rollout(client_settings(url, data_dir))
    typer.echo(decoding.encode(found) if as_json else "\n".join(rollouts.status_lines(found)))


@rollout.command()
def pause(url: Url = None, data_dir: DataDir = None) -> None:
    """Keep the share; the new version is still withdrawn if it is worse."""
    _change("pause", client_settings(url, data_dir))


@rollout.command()
def resume(url: Url = None, data_dir: DataDir = None) -> None:
    """Go on with a paused roll-out."""
    _change("resume", client_settings(url, data_dir))


@rollout.command()
def abort(url: Url = None, data_dir: DataDir = None) -> None:
    """Withdraw the new version: its conversations get the served one with their next turn."""
    _change("abort", client_settings(url, data_dir))


def _change(action: Literal["pause", "resume", "abort"], settings: ClientSettings) -> None:
    changed = rollouts.change_rollout(settings, action, by=getpass.getuser())
    typer.echo("\n".join(rollouts.status_lines(changed)))


def plan_of(shares: str, hold: str, slow: str, min_turns: int) -> rollouts.RolloutPlan:
    """Return the plan that an operator wrote; raise `CommandError` if it is invalid."""
    try:
        return rollouts.RolloutPlan(
            shares=parse_shares(shares),
            hold_s=parse_duration(hold),
            min_turns=min_turns,
            slow_s=parse_duration(slow),
        )
    except ValueError as error:
        raise CommandError(str(error)) from error


def _await_loaded(settings: ClientSettings, published: versions.VersionSummary) -> None:
    behind = versions.wait_until_loaded(settings, published.version)
    if behind:
        raise CommandError(f"version {published.version} is active, but not loaded yet by {', '.join(behind)}")
    typer.echo(f"version {published.version} is active and loaded by every process")


def _show_reach(wanted: Fleet, active: versions.ActiveFleet) -> None:
    reached = reach(wanted, before=active.fleet)
    typer.echo("reaches (+: not reached by the active version):" if reached else "reaches nothing outside the suite")
    for line in reached:
        typer.echo(f"  {line}")


def _no_difference(active: versions.ActiveFleet) -> str:
    return f"no difference from version {active.version}"
