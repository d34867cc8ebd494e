"""Result of an import as lines for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from trunkline_cli.knowledge.imports import Imported

_MAX_NAMES: Final = 5


def import_lines(imported: Imported) -> Iterator[str]:
    """Yield what was imported, and the share of the words of HTML pages that was kept."""
    result = imported.result
    unchanged = f", {result.unchanged} unchanged" if result.unchanged else ""
    removed = f", {result.removed} removed" if result.removed else ""
    yield f"{result.documents} documents, {result.passages} passages{unchanged}{removed}"
    if result.visible_words:
        share = result.kept_words / result.visible_words
        yield f"{_percent(share)} of the {result.visible_words} visible words of the pages kept"


def import_notes(imported: Imported) -> Iterator[str]:
    """Yield the rejected files, the warnings and the skipped files."""
    for problem in imported.result.problems:
        yield f"{problem.name}: {problem.reason}"
    for warning in imported.result.warnings:
        yield f"{warning.name}: warning: {warning.reason}"
    by_suffix = Counter(PurePosixPath(name).suffix.lower() for name in imported.skipped)
    for suffix, count in by_suffix.most_common():
        names = [name for name in imported.skipped if PurePosixPath(name).suffix.lower() == suffix]
        more = f" and {count - _MAX_NAMES} more" if count > _MAX_NAMES else ""
        format_ = f"the format {suffix}" if suffix else "a file without suffix"
        yield f"{', '.join(names[:_MAX_NAMES])}{more}: skipped, {format_} is not read"


def _percent(share: float) -> str:
    """Return a share in percent, rounded down: only a complete text has 100 %."""
    return f"{int(share * 1_000) / 10:g} %"
