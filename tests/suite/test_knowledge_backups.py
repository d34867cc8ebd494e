"""Backups of a running suite by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.suite import Suite, run_cli

pytestmark = pytest.mark.processes


def test_backup_is_made_listed_and_restored_while_the_suite_runs(suite: Suite, tmp_path: Path) -> None:
    """A restore undoes later imports; without --replace it is refused if the knowledge base is not empty."""
    (tmp_path / "glider.md").write_text("A glider is winched up by a drum of four hundred metres.")
    assert run_cli(suite, "kb", "import", str(tmp_path)).returncode == 0
    question = ("kb", "search", "how is a glider winched", "--json")
    before = run_cli(suite, *question).stdout
    created = json.loads(run_cli(suite, "kb", "backup", "--json").stdout)
    backup = created["backup"]
    assert Path(created["location"]) == suite.data_dir / "backups"
    assert backup["id"] in run_cli(suite, "kb", "backups").stdout
    (tmp_path / "glider.md").write_text("A glider is towed by another aeroplane, never winched.")
    assert run_cli(suite, "kb", "import", str(tmp_path)).returncode == 0
    assert run_cli(suite, *question).stdout != before
    refused = run_cli(suite, "kb", "restore", backup["id"])
    assert refused.returncode == 1
    assert "the knowledge base holds" in refused.stderr
    assert refused.stderr.count("\n") == 1
    restored = run_cli(suite, "kb", "restore", backup["id"], "--replace")
    assert f"{backup['id']} is active:" in restored.stdout
    assert run_cli(suite, *question).stdout == before
    again = json.loads(run_cli(suite, "kb", "backup", "--json").stdout)["backup"]
    assert (again["kind"], again["articles"]) == ("incremental", backup["articles"])
    unknown = run_cli(suite, "kb", "restore", "20200101T000000000Z-00000000")
    assert unknown.returncode == 1
    assert "has no backup 20200101T000000000Z-00000000" in unknown.stderr
