"""Warnings of a fleet folder that another command uses: its findings on stderr, beside the command's own output."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from trunkline_cli.errors import CommandError
from trunkline_cli.fleet.core.check import check_folder
from trunkline_cli.fleet.core.findings import render
from trunkline_cli.fleet.folder_reader import read_fleet_folder

_MAX_LINES: Final = 10
_MAX_ARTICLES: Final = 1_000
"""A check of more articles takes over a second, for which no start waits."""


def find_warnings(folder: Path) -> list[str]:
    """Return the findings of a folder except notes, at most ten, as lines.

    Empty if the folder cannot be read, because the command itself reports that.
    """
    try:
        content = read_fleet_folder(folder)
    except CommandError:
        return []
    command = f"trunkline fleet check {folder}"
    articles = sum(1 for _ in content.articles())
    if articles > _MAX_ARTICLES:
        return [f"{articles} articles are not checked here: {command}"]
    found = [finding for finding in check_folder(content) if finding.severity != "note"]
    lines = [render(finding, str(folder)) for finding in found[:_MAX_LINES]]
    return [*lines, f"{len(found) - _MAX_LINES} more: {command}"] if len(found) > _MAX_LINES else lines


def print_warnings(lines: list[str]) -> None:
    """Print lines on stderr."""
    for line in lines:
        print(f"trunkline: {line}", file=sys.stderr)  # noqa: T201
