"""Progress of a bench: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_REFRESHES_PER_S: Final = 2.0
"""Low, because drawing uses CPU of the machine that is measured."""


class Phases:
    """A progress bar on stderr that shows one phase at a time."""

    def __init__(self) -> None:
        """Create the bar; it is disabled if stderr is not a terminal."""
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
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the terminal."""
        self._progress.stop()

    def begin(self, description: str, total: float) -> None:
        """Replace the current phase by the next one."""
        if self._current is not None:
            self._progress.remove_task(self._current)
        self._current = self._progress.add_task(description, total=total)

    def advance(self, completed: float) -> None:
        """Set the progress of the current phase."""
        if self._current is not None:
            self._progress.update(self._current, completed=completed)
