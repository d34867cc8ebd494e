"""The commands of `trunkline`, by path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from trunkline_cli.app import app
from typer.main import get_command


def _commands(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield a command and all below it, except hidden ones; Typer's types of commands are private."""
    if not command.hidden:
        yield path, command
        for name, nested in getattr(command, "commands", {}).items():
            yield from _commands((*path, name), nested)


COMMANDS: Final[dict[tuple[str, ...], Any]] = dict(_commands((), get_command(app)))
"""Each command by its words; the empty path is `trunkline` itself."""
