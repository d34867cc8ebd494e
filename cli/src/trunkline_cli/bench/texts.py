"""What the customers of a bench say: groups of texts, one group a conversation."""

from __future__ import annotations

from pathlib import Path

import msgspec
from trunkline_protocols.fleet_folder import load_fleet

from trunkline_cli.errors import CommandError


class _Line(msgspec.Struct):
    text: str
    conversation: str = ""


def read_texts(file: Path | None, fleet_dir: Path) -> list[list[str]]:
    """Read groups of texts: by `conversation` where the file has it, else by agent of the fleet."""
    if file is None:
        return [list(agent.examples) for agent in load_fleet(fleet_dir).agents]
    groups: dict[str, list[str]] = {}
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    parsed = _parse(file, number, line)
                    groups.setdefault(parsed.conversation, []).append(parsed.text)
    except OSError as error:
        raise CommandError(f"{file}: {error}") from error
    if not groups:
        raise CommandError(f"{file}: no text in it")
    return list(groups.values())


def _parse(file: Path, number: int, line: bytes) -> _Line:
    try:
        return msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError as error:
        raise CommandError(f"{file}:{number}: {error}") from error
