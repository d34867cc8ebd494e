"""The knowledge base of a lab, whose host is lost: another host of the group serves the last backup."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.cluster.lab import Lab, LabError

_ARTICLE: Final = """\
# Shelf brackets

Each shelf bracket of the lab carries forty kilograms.
"""
_QUESTION: Final = "How many kilograms does a shelf bracket of the lab carry?"
_EVIDENCE: Final = "forty"
_BACKED_UP_WITHIN_S: Final = 30.0
_INTERVAL_S: Final = 0.5


def lose_knowledge(lab: Lab, host: str, other: str, *, within_s: float) -> tuple[float, float]:
    """Import an article, kill the host that serves, and wait until the article is quoted again through another host.

    Returns the seconds without citations, and the longest wait of an answer in them. The host comes back afterwards.
    Raises `LabError` if it takes longer than `within_s`, or if the ingress does not say what answers lack.
    """
    before = _saved_articles(lab)
    with _article() as folder:
        lab.trunkline(other, "kb", "import", str(folder))
    _wait_for_backup(lab, articles=before + 1)
    if not _is_quoted(lab, other):
        raise LabError(f"the article is not quoted through {other}")
    lab.docker("kill", lab.container(host))
    started = time.monotonic()
    longest_s, was_told = 0.0, False
    try:
        while True:
            asked = time.monotonic()
            is_quoted = _is_quoted(lab, other)
            longest_s = max(longest_s, time.monotonic() - asked)
            if is_quoted and asked - started > _INTERVAL_S:
                break
            was_told = was_told or "rag" in lab.degraded(other)
            if time.monotonic() - started > within_s:
                raise LabError(f"no host serves the knowledge base {within_s:.0f} s after the loss of {host}")
            time.sleep(_INTERVAL_S)
        took_s = time.monotonic() - started
    finally:
        lab.docker("start", lab.container(host))
    if not was_told:
        raise LabError("readyz has not named the missing knowledge base")
    return took_s, longest_s


@contextmanager
def _article() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "brackets.md").write_text(_ARTICLE, encoding="utf-8")
        yield Path(folder)


def _wait_for_backup(lab: Lab, *, articles: int) -> None:
    deadline = time.monotonic() + _BACKED_UP_WITHIN_S
    while (saved := _saved_articles(lab)) < articles:
        if time.monotonic() > deadline:
            raise LabError(f"no backup followed the import: the last one has {saved} articles")
        time.sleep(_INTERVAL_S)


def _saved_articles(lab: Lab) -> int:
    """Return the number of articles in the latest backup."""
    *_, latest = sorted((lab.folder / "knowledge-backups" / "manifests").glob("*Z-*"))
    return int(json.loads(latest.read_bytes())["articles"])


def _is_quoted(lab: Lab, host: str) -> bool:
    try:
        frames = lab.ask(host, _QUESTION, timeout_s=30)
    except (LabError, subprocess.TimeoutExpired):
        return False
    return any(frame["type"] == "message" and _EVIDENCE in frame["text"] for frame in frames)
