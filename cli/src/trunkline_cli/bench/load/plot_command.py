"""`trunkline bench plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trunkline_cli.bench.load.core.charts.load_plot import load_plot
from trunkline_cli.bench.load.core.results import LoadFile, ResultError, decode_file
from trunkline_cli.errors import CommandError


def plot(
    files: Annotated[list[Path], typer.Argument(help="Result files of `bench load --results`")],
    output: Annotated[Path, typer.Option("--output", "-o", help="SVG file to write")] = Path("load.svg"),
) -> None:
    """Draw results of `bench load`: percentiles, percentiles against rate, CPU by service; SVG for any browser."""
    try:
        picture = load_plot([read_result(file) for file in files])
        output.write_text(picture, encoding="utf-8")
    except ResultError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"{output}: {error}") from error
    typer.echo(str(output))


def read_result(file: Path) -> LoadFile:
    """Read a result file; raise `CommandError` if it cannot be read or is not one."""
    try:
        return decode_file(file.read_bytes())
    except OSError as error:
        raise CommandError(f"{file}: {error}") from error
    except ResultError as error:
        raise CommandError(f"{file}: {error}") from error
