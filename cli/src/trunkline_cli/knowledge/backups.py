"""`trunkline kb backup | restore | list`: the knowledge service does it, here it is ordered and watched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from trunkline_protocols.knowledge import (
    BackupList,
    BackupRestored,
    BackupTaken,
    RestoreBackup,
    TakeBackup,
)

from trunkline_cli.client import get, post
from trunkline_cli.errors import CommandError
from trunkline_cli.settings import ClientSettings

_PATH: Final = "/v1/ops/knowledge/backups"
_TIMEOUT_S: Final = 900.0
_LOOK_EVERY_S: Final = 0.5


def take(settings: ClientSettings, *, full: bool, keep: int) -> BackupTaken:
    """Have a backup taken."""
    with _progress(settings, "backup"):
        return post(settings, _PATH, TakeBackup(full=full, keep=keep), BackupTaken, timeout_s=_TIMEOUT_S)


def restore(settings: ClientSettings, backup: str, *, replace: bool) -> BackupRestored:
    """Have a backup put in force."""
    order = RestoreBackup(backup=backup, replace=replace)
    with _progress(settings, "restore"):
        return post(settings, "/v1/ops/knowledge/restore", order, BackupRestored, timeout_s=_TIMEOUT_S)


def listed(settings: ClientSettings) -> BackupList:
    """Ask for the backups."""
    return get(settings, _PATH, BackupList)


def table(found: BackupList) -> Table:
    """Draw the backups, one a line."""
    drawn = Table(title=found.location, title_justify="left", box=None, pad_edge=False)
    for heading in ("backup", "made", "kind", "embedder"):
        drawn.add_column(heading, no_wrap=True)
    for heading in ("articles", "passages", "MiB", "blobs written"):
        drawn.add_column(heading, justify="right")
    for made in found.backups:
        drawn.add_row(
            made.id,
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(made.made_at)),
            made.kind,
            made.embedder,
            str(made.articles),
            str(made.passages),
            f"{made.bytes / 2**20:.1f}",
            f"{made.written} of {made.blobs}",
        )
    return drawn


@contextmanager
def _progress(settings: ClientSettings, doing: str) -> Iterator[None]:
    """Show on a terminal how far the service is, by asking it now and then."""
    screen = Console(stderr=True)
    if not screen.is_terminal:
        yield
        return
    done = Event()
    with Progress(console=screen, transient=True) as bar:
        watcher = Thread(target=_watch, args=(settings, bar, doing, done), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


def _watch(settings: ClientSettings, bar: Progress, doing: str, done: Event) -> None:
    line = bar.add_task(doing, total=None)
    while not done.wait(_LOOK_EVERY_S):
        try:
            progress = listed(settings).progress
        except CommandError:
            # The order itself tells what is wrong.
            continue
        if progress is not None and progress.total:
            bar.update(line, description=progress.doing, completed=progress.done, total=progress.total)
