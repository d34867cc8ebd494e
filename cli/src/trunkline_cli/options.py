"""Options and output shared by the commands."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich.console import Console

from trunkline_cli.operator_token import find_operator_token
from trunkline_cli.settings import ClientSettings

_PIPE_WIDTH = 160

Url = Annotated[str | None, typer.Option(help="Address of the suite; default: $TRUNKLINE_URL, http://127.0.0.1:8080")]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Data folder of the suite, which has the operator's token; default: $TRUNKLINE_DATA_DIR, var"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON")]


def client_settings(url: str | None, data_dir: Path | None = None) -> ClientSettings:
    """Return the client's settings; the arguments override the environment.

    Without a configured operator token, the token in the data folder is used, if the suite is on this machine.
    """
    given: dict[str, Any] = {"url": url, "data_dir": data_dir}
    settings = ClientSettings(**{name: value for name, value in given.items() if value is not None})
    if settings.operator_token is None:
        found = find_operator_token(settings.data_dir, settings.url)
        settings = settings.model_copy(update={"operator_token": SecretStr(found) if found else None})
    return settings


def console() -> Console:
    """Return a console as wide as the terminal, or with a fixed width if the output is not a terminal."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_PIPE_WIDTH)


def local_time(at: float) -> str:
    """Return Unix seconds as date and time of this machine."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def short(value: object, limit: int) -> str:
    """Return a value as one line of at most `limit` characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
