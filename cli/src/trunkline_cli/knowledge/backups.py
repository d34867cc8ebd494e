"""`trunkline kb backup | backups | restore`: requests to the knowledge service, with its progress on a terminal."""

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
_POLL_INTERVAL_S: Final = 0.5


def take_backup(settings: ClientSettings, *, full: bool, keep: int) -> BackupTaken:
    """Request a backup and wait until it is complete."""
    with _progress(settings, "backup"):
        return post(settings, _PATH, TakeBackup(full=full, keep=keep), BackupTaken, timeout_s=_TIMEOUT_S)


def restore_backup(settings: ClientSettings, backup: str, *, replace: bool) -> BackupRestored:
    """Request the restore of a backup and wait until it is complete; an empty `backup` is the latest."""
    request = RestoreBackup(backup=backup, replace=replace)
    with _progress(settings, "restore"):
        return post(settings, "/v1/ops/knowledge/restore", request, BackupRestored, timeout_s=_TIMEOUT_S)


def read_backups(settings: ClientSettings) -> BackupList:
    """Return the backups, newest first, and the progress of a running one."""
    return get(settings, _PATH, BackupList)


def backups_table(found: BackupList) -> Table:
    """Return the backups as a table, one per row."""
    table = Table(title=found.location, title_justify="left", box=None, pad_edge=False)
    for heading in ("backup", "created", "kind", "embedder"):
        table.add_column(heading, no_wrap=True)
    for heading in ("articles", "passages", "MiB", "blobs written"):
        table.add_column(heading, justify="right")
    for backup in found.backups:
        table.add_row(
            backup.id,
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(backup.created_at)),
            backup.kind,
            backup.embedder,
            str(backup.articles),
            str(backup.passages),
            f"{backup.bytes / 2**20:.1f}",
            f"{backup.written} of {backup.blobs}",
        )
    return table


@contextmanager
def _progress(settings: ClientSettings, activity: str) -> Iterator[None]:
    """Poll the service's progress and show it while the block runs, if stderr is a terminal."""
    screen = Console(stderr=True)
    if not screen.is_terminal:
        yield
        return
    done = Event()
    with Progress(console=screen, transient=True) as bar:
        watcher = Thread(target=_poll_progress, args=(settings, bar, activity, done), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


def _poll_progress(settings: ClientSettings, bar: Progress, activity: str, done: Event) -> None:
    task = bar.add_task(activity, total=None)
    while not done.wait(_POLL_INTERVAL_S):
        try:
            progress = read_backups(settings).progress
        except CommandError:
            # The request itself reports the error.
            continue
        if progress is not None and progress.total:
            bar.update(task, description=progress.operation, completed=progress.done, total=progress.total)
