"""Options and ways to print that the sub-commands share."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from trunkline_cli.settings import ClientSettings

Url = Annotated[str | None, typer.Option(help="Address of the suite [env: TRUNKLINE_URL]")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON")]


def client_settings(url: str | None) -> ClientSettings:
    """Settings of the client, with the address that was given."""
    return ClientSettings(url=url) if url is not None else ClientSettings()


def console() -> Console:
    """Tables fit the terminal; in a pipe or a file they are as wide as they need to be."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=160)
