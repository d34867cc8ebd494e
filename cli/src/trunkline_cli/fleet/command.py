"""The sub-commands of `trunkline fleet`."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from trunkline_cli.errors import CommandError
from trunkline_cli.fleet import versions
from trunkline_cli.options import Json, Url, client_settings, console
from trunkline_cli.settings import ClientSettings

fleet = typer.Typer(help="The fleet in force and its versions.", no_args_is_help=True)
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder with fleet.toml and agents/")]


@fleet.command()
def show(url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Show the versions that are kept; the last one is in force. --json: the fleet in force itself."""
    settings = client_settings(url)
    if as_json:
        typer.echo(msgspec.json.encode(versions.in_force(settings)))
    else:
        console().print(versions.versions_table(versions.versions(settings)))


@fleet.command()
def diff(folder: Folder, url: Url = None) -> None:
    """Show how a folder differs from the fleet in force, or where it is not usable."""
    current, _, lines = versions.compare(client_settings(url), folder)
    for line in lines or [f"no difference to version {current.version}"]:
        typer.echo(line)


@fleet.command()
def apply(
    folder: Folder,
    url: Url = None,
    note: Annotated[str, typer.Option(help="Why, for those who read the versions later")] = "",
) -> None:
    """Put a folder's fleet in force: checked whole, taken by every process at its next turn."""
    settings = client_settings(url)
    current, wanted, lines = versions.compare(settings, folder)
    if not lines:
        typer.echo(f"no difference to version {current.version}")
        return
    for line in lines:
        typer.echo(line)
    _wait(settings, versions.apply(settings, wanted, after=current.version, by=getpass.getuser(), note=note))


@fleet.command()
def rollback(
    url: Url = None,
    to: Annotated[int, typer.Option(min=0, help="Version to go back to; 0: the one before")] = 0,
) -> None:
    """Put an older version in force again."""
    settings = client_settings(url)
    _wait(settings, versions.roll_back(settings, to=to, by=getpass.getuser()))


def _wait(settings: ClientSettings, version: versions.Version) -> None:
    behind = versions.wait_until_taken(settings, version.version)
    if behind:
        raise CommandError(f"version {version.version} is in force, but not taken yet by {', '.join(behind)}")
    typer.echo(f"version {version.version} is in force, every process has taken it")
