#!/usr/bin/python3
"""State of the repository of PostgreSQL as metrics for the node exporter: archive_metrics.py STANZA [OPTION...].

Run on each member, as the account of PostgreSQL; options go to pgBackRest. A standby, which archives nothing, prints no
metric. Exit status 1 without output if the state cannot be read: the figures of before then become old.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

TIMEOUT_S = 60
_QUERY = """
SELECT pg_is_in_recovery(), current_setting('archive_mode'), (
    SELECT coalesce(extract(epoch FROM clock_timestamp() - min(modification)), 0)
    FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'
)
"""
_READABLE = (0, 2)
"""Status of a stanza: it has backups, or it has none yet."""


class UnreadableError(Exception):
    """The state is not known; the message says why."""


def output_of(*command: str) -> str:
    """Run a command and return its output; raise `UnreadableError` if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnreadableError(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        raise UnreadableError(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout


def last_full_backup(info: list[dict[str, Any]]) -> float:
    """Return when the last full backup without an error ended, in Unix seconds; 0 if there is none."""
    if not info or info[0]["status"]["code"] not in _READABLE:
        raise UnreadableError(f"pgbackrest: {info[0]['status']['message'] if info else 'no such stanza'}")
    ended = [
        each["timestamp"]["stop"] for each in info[0]["backup"] if each["type"] == "full" and not each.get("error")
    ]
    return float(max(ended, default=0))


def metrics(waiting_s: float, full_backup_at: float, now: float) -> str:
    """Return the metrics in the format of Prometheus; times are Unix seconds."""
    values = (
        ("wal_waiting_seconds", "Age of the oldest WAL segment that is not in the repository yet", waiting_s),
        (
            "full_backup_timestamp_seconds",
            "Unix time at which the last full backup ended, 0 without one",
            full_backup_at,
        ),
        ("archive_checked_timestamp_seconds", "Unix time at which the primary looked at its archive", now),
    )
    return "".join(
        f"# HELP trunkline_postgres_{name} {text}\n# TYPE trunkline_postgres_{name} gauge\n"
        f"trunkline_postgres_{name} {value:.0f}\n"
        for name, text, value in values
    )


def waiting_s(row: str) -> float | None:
    """Return how long the oldest segment has waited, None on a standby; raise `UnreadableError` without archiving."""
    is_standby, mode, seconds = row.strip().split("|")
    if mode == "off":
        raise UnreadableError("archive_mode is off")
    return None if is_standby == "t" else float(seconds)


def main(arguments: list[str]) -> int:
    """Print the metrics of this member."""
    stanza, *options = arguments
    try:
        waiting = waiting_s(output_of("psql", "-XAtc", _QUERY, "postgres"))
        if waiting is None:
            return 0
        info = json.loads(output_of("pgbackrest", *options, f"--stanza={stanza}", "--output=json", "info"))
        print(metrics(waiting, last_full_backup(info), time.time()), end="")
    except UnreadableError as error:
        print(f"archive_metrics: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
