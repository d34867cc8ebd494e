"""The words of docstrings and comments, counted.

`python -m tests.architecture.language [PATH ...]` prints the table for the given files or folders, by default for
libs, services and cli, and lists every banned construction with its place.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
MEASURED: Final = ("libs", "services", "cli")
WORD: Final = re.compile(r"[A-Za-z]+(?:['’][a-z]+)?")  # noqa: RUF001 - the typographic apostrophe

BANNED: Final[dict[str, str]] = {
    r"\banew\b": "again, retry, re-create",
    r"\bfor ever\b": "indefinitely, unlimited",
    r"\bnobody\b": "no process, no consumer, no caller, no agent",
    r"\bsomebody\b": "a process, another writer, a person",
    r"\beverybody\b": "every process, every caller",
    r"\bwhoever\b": "the process that, any caller",
    r"\bthose who\b": "the processes, the waiters, the callers",
    r"\bis none\b": "is not one of, must be one of",
    r"\buntold\b": "unpublished",
    r"\bbury\b": "dead-letter",
    r"\bburied\b": "dead-lettered",
    r"\bsigns of life\b": "heartbeats",
    r"\bsign of life\b": "heartbeat",
    r"\bso many\b": "a number of, this many: give the bound",
    r"\bso long as\b": "while, as long as",
    r"\bin one's own\b": "in its own",
    r"\bwhat is the case\b": "the state",
    r"\bmost pressing\b": "most urgent",
    r"\bdays on which\b": "no diary in the documentation",
}
"""Constructions of the project's former dialect, each with the words to use instead."""

OPENERS: Final = re.compile(r"(?:What|Who|Where|Whether|Whose|Whom)\b")
"""A docstring's first line is a sentence with standard nouns, never a free relative clause."""


class Limit(NamedTuple):
    """A group of words and its bound, in occurrences per 10,000 words."""

    words: frozenset[str]
    bound: float
    at_least: bool = False


LIMITS: Final[dict[str, Limit]] = {
    "what": Limit(frozenset({"what"}), 10),
    "people": Limit(frozenset({"nobody", "somebody", "everybody", "whoever", "who"}), 12),
    "speech": Limit(
        frozenset({"says", "said", "tells", "told", "hears", "heard", "asks", "asked", "tell", "say", "hear"}), 40
    ),
    "if": Limit(frozenset({"if"}), 25, at_least=True),
}
MAX_OPENERS_PERCENT: Final = 1.0


@dataclass(frozen=True, slots=True)
class Prose:
    """One docstring or comment: its file, its first line (from 1) and its text."""

    file: Path
    line: int
    text: str
    is_docstring: bool


def prose_of(file: Path) -> Iterator[Prose]:
    """Yield docstrings (those of fields too) and comments of a Python file."""
    source = file.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield Prose(file, node.lineno, node.value.value, is_docstring=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Prose(file, token.start[0], token.string.lstrip("# "), is_docstring=False)


def python_files(paths: Iterable[str]) -> list[Path]:
    """Return the Python files that git knows below some paths."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *paths]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in listed if name.endswith(".py") and (ROOT / name).exists()]


def markdown_files() -> list[Path]:
    """Return the documents that git knows, except knowledge articles, which are data."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [name for name in listed.splitlines() if not name.startswith("fleet/knowledge/")]
    return [ROOT / name for name in names if (ROOT / name).exists()]


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts over a set of prose."""

    words: int
    groups: dict[str, int]
    docstrings: int
    openers: int

    def per_10_000(self, group: str) -> float:
        """Return the occurrences of a group of words per 10,000 words."""
        return 10_000 * self.groups[group] / max(1, self.words)

    @property
    def openers_percent(self) -> float:
        """Return the share of docstrings that open with a free relative clause."""
        return 100 * self.openers / max(1, self.docstrings)


def count(prose: Iterable[Prose]) -> Counts:
    """Count the words of every limit."""
    words, docstrings, openers = 0, 0, 0
    groups = dict.fromkeys(LIMITS, 0)
    for piece in prose:
        found = [word.lower() for word in WORD.findall(piece.text)]
        words += len(found)
        for name, limit in LIMITS.items():
            groups[name] += sum(word in limit.words for word in found)
        if piece.is_docstring:
            docstrings += 1
            openers += OPENERS.match(piece.text.strip()) is not None
    return Counts(words, groups, docstrings, openers)


def banned_in(prose: Iterable[Prose]) -> list[str]:
    """Return every banned construction as `file:line: 'found' -> words to use`."""
    return [
        f"{piece.file.relative_to(ROOT)}:{piece.line}: {match.group()!r} -> {instead}"
        for piece in prose
        for pattern, instead in BANNED.items()
        for match in [re.search(pattern, piece.text, flags=re.IGNORECASE)]
        if match is not None
    ]


def table(paths: Iterable[str]) -> str:
    """Return the counts per path and in total, one line each."""
    names = list(paths)
    head = f"{'':<28}{'words':>8}" + "".join(f"{name:>9}" for name in LIMITS) + f"{'openers %':>11}"
    lines = [head]
    for name in [*names, "total"]:
        files = python_files(names if name == "total" else [name])
        counts = count(piece for file in files for piece in prose_of(file))
        figures = "".join(f"{counts.per_10_000(group):>9.1f}" for group in LIMITS)
        lines.append(f"{name:<28}{counts.words:>8}{figures}{counts.openers_percent:>11.1f}")
    bounds = "".join(f"{('>=' if limit.at_least else '<=') + f'{limit.bound:g}':>9}" for limit in LIMITS.values())
    lines.append(f"{'bound':<28}{'':>8}{bounds}{f'<={MAX_OPENERS_PERCENT:g}':>11}")
    return "\n".join(lines)


if __name__ == "__main__":
    chosen = sys.argv[1:] or [
        f"{folder}/{child.name}"
        for folder in MEASURED[:2]
        for child in sorted((ROOT / folder).iterdir())
        if child.is_dir()
    ] + ["cli"]
    print(table(chosen))
    print(*banned_in(piece for file in python_files(chosen) for piece in prose_of(file)), sep="\n")
