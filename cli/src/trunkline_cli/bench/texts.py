"""Texts of the simulated customers: groups of texts, one group per conversation."""

from __future__ import annotations

from pathlib import Path

import msgspec
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_protocols.decoding import DecodeError, decode

from trunkline_cli.bench.load.core.replay import ReplayError, read_dialogues
from trunkline_cli.bench.rows import without_mark
from trunkline_cli.errors import CommandError


class _Turn(msgspec.Struct):
    text: str


class _Line(msgspec.Struct):
    """One text, or a whole conversation with the `turns` of its customer."""

    text: str = ""
    conversation: str = ""
    turns: list[_Turn] = []


def read_texts(file: Path | None, fleet_dir: Path) -> list[list[str]]:
    """Return the texts of a file, grouped by `conversation`, or by default the examples of each agent of the fleet."""
    if file is None:
        return [list(agent.examples) for agent in load_fleet(fleet_dir).agents]
    groups: dict[str, list[str]] = {}
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(without_mark(lines), start=1):
                if line.strip():
                    parsed = _parse(file, number, line)
                    texts = [parsed.text] if parsed.text else [turn.text for turn in parsed.turns if turn.text]
                    groups.setdefault(parsed.conversation, []).extend(texts)
    except OSError as error:
        raise CommandError(f"{file}: {error}") from error
    found = [texts for texts in groups.values() if texts]
    if not found:
        raise CommandError(f"{file}: no line has `text`, or `turns` with `text`")
    return found


def read_replay(path: Path) -> list[list[str]]:
    """Return the conversations of a file, or of all `*.jsonl` files of a folder, in the format of MultiDoGO.

    Raises:
        CommandError: if a file cannot be read, a line is invalid, or there is no conversation.

    """
    try:
        files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        dialogues = [dialogue for file in files for dialogue in _read_dialogues(file)]
    except OSError as error:
        raise CommandError(f"{path}: {error}") from error
    if not dialogues:
        raise CommandError(f"{path}: no conversation with a text")
    return dialogues


def _read_dialogues(file: Path) -> list[list[str]]:
    try:
        with file.open("rb") as lines:
            return read_dialogues(without_mark(lines))
    except ReplayError as error:
        raise CommandError(f"{file}: {error}") from error


def _parse(file: Path, number: int, line: bytes) -> _Line:
    try:
        return decode(line, _Line)
    except DecodeError as error:
        raise CommandError(f"{file}:{number}: {error}") from error
