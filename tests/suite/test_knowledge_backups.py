"""Backups as an operator orders them, from a running suite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.suite import Suite, run_cli

pytestmark = pytest.mark.processes


def test_backup_is_taken_listed_and_restored_while_the_suite_serves(suite: Suite, tmp_path: Path) -> None:
    """What was imported since goes, what was found before is found again, and a clear line says what is in the way."""
    (tmp_path / "glider.md").write_text("A glider is winched up by a drum of four hundred metres.")
    assert run_cli(suite, "kb", "import", str(tmp_path)).returncode == 0
    question = ("kb", "search", "how is a glider winched", "--json")
    before = run_cli(suite, *question).stdout
    taken = json.loads(run_cli(suite, "kb", "backup", "--json").stdout)
    made = taken["backup"]
    assert Path(taken["location"]) == suite.data_dir / "backups"
    assert made["id"] in run_cli(suite, "kb", "list").stdout
    (tmp_path / "glider.md").write_text("A glider is towed by another aeroplane, never winched.")
    assert run_cli(suite, "kb", "import", str(tmp_path)).returncode == 0
    assert run_cli(suite, *question).stdout != before
    refused = run_cli(suite, "kb", "restore", made["id"])
    assert refused.returncode == 1
    assert "the knowledge base holds" in refused.stderr
    assert refused.stderr.count("\n") == 1
    restored = run_cli(suite, "kb", "restore", made["id"], "--replace")
    assert f"{made['id']} is in force" in restored.stdout
    assert run_cli(suite, *question).stdout == before
    again = json.loads(run_cli(suite, "kb", "backup", "--json").stdout)["backup"]
    assert (again["kind"], again["articles"]) == ("incremental", made["articles"])
    unknown = run_cli(suite, "kb", "restore", "20200101T000000000Z-00000000")
    assert unknown.returncode == 1
    assert "has no backup 20200101T000000000Z-00000000" in unknown.stderr
