"""Options and output shared by the commands."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from trunkline_cli.settings import ClientSettings

_PIPE_WIDTH = 160

Url = Annotated[str | None, typer.Option(help="Address of the suite; default: $TRUNKLINE_URL, http://127.0.0.1:8080")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON")]


def client_settings(url: str | None) -> ClientSettings:
    """Return the client's settings; `url` overrides the environment."""
    return ClientSettings(url=url) if url is not None else ClientSettings()


def console() -> Console:
    """Return a console as wide as the terminal, or with a fixed width if the output is not a terminal."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_PIPE_WIDTH)


def short(value: object, limit: int) -> str:
    """Return a value as one line of at most `limit` characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
