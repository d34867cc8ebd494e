"""Limit of open files of a generator process."""

from __future__ import annotations

import resource

from trunkline_cli.bench.load.core.limits import files_for
from trunkline_cli.errors import CommandError


def raise_file_limit(sockets: int) -> None:
    """Raise the limit of open files for a number of sockets, or raise `CommandError`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = files_for(sockets)
    if soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise CommandError(f"{sockets} conversations need {needed} open files, the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
