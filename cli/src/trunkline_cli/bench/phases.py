"""How far a bench has come: a bar on a person's terminal, nothing elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_REFRESHES_PER_S: Final = 2.0
"""Drawing takes time on the machine that is measured."""


class Phases:
    """Shows one phase after another on stderr."""

    def __init__(self) -> None:
        """Stay silent when nobody watches."""
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
            refresh_per_second=_REFRESHES_PER_S,
            transient=True,
        )
        self._current: TaskID | None = None

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()

    def begin(self, what: str, total: float) -> None:
        """Show the next phase in place of the one before."""
        if self._current is not None:
            self._progress.remove_task(self._current)
        self._current = self._progress.add_task(what, total=total)

    def reached(self, completed: float) -> None:
        """Move the bar of this phase."""
        if self._current is not None:
            self._progress.update(self._current, completed=completed)
