"""`trunkline kb import` of hostile files: each is reported by name, all others are imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.parser_bombs import BOMBS
from tests.support.suite import Suite, run_cli

pytestmark = pytest.mark.processes


def test_bombs_in_a_folder_are_reported_and_the_other_files_are_imported(suite: Suite, tmp_path: Path) -> None:
    """The command names the bombs and files that are not readable, and exits with 1."""
    for bomb in BOMBS:
        (tmp_path / bomb.name).write_bytes(bomb.data or bomb.content.encode())
    (tmp_path / "latin.md").write_bytes("---\nid: latin\n---\nStraße".encode("latin-1"))
    (tmp_path / "marked.md").write_text("\ufeff---\nid: sousaphone\nvisibility: internal\n---\nA sousaphone is heavy.")
    (tmp_path / "open.md").write_text("---\nid: open\nvisibility: internal\n\nA header without an end.")
    done = run_cli(suite, "kb", "import", str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.startswith("1 documents, 1 passages")
    named = {line.split(": ")[1] for line in done.stderr.splitlines() if line.startswith("trunkline: ")}
    assert named == {*(bomb.name for bomb in BOMBS), "latin.md", "open.md"}
    assert "sousaphone" not in run_cli(suite, "kb", "search", "How heavy is a sousaphone?").stdout
