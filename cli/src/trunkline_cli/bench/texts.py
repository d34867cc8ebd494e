"""What the customers of a bench say: groups of texts, one group a conversation."""

from __future__ import annotations

from pathlib import Path

import msgspec
from trunkline_chassis.fleet_folder import load_fleet

from trunkline_cli.errors import CommandError


class _Said(msgspec.Struct):
    text: str


class _Line(msgspec.Struct):
    """One text, or a whole conversation with its customer's `turns`."""

    text: str = ""
    conversation: str = ""
    turns: list[_Said] = []


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
                    texts = [parsed.text] if parsed.text else [said.text for said in parsed.turns if said.text]
                    groups.setdefault(parsed.conversation, []).extend(texts)
    except OSError as error:
        raise CommandError(f"{file}: {error}") from error
    found = [texts for texts in groups.values() if texts]
    if not found:
        raise CommandError(f"{file}: no line has `text`, or `turns` with `text`")
    return found


def _parse(file: Path, number: int, line: bytes) -> _Line:
    try:
        return msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError as error:
        raise CommandError(f"{file}:{number}: {error}") from error
