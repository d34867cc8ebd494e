"""Commands that change the fleet: what a version would reach and change is shown, and what has no effect."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.suite import Suite, run_cli

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
FLEET = ROOT / "fleet"
EXAMPLE = ROOT / "examples" / "minimal-fleet"
TOOL = 'name = "stock"\ndescription = "Stock"\nkind = "mcp"\ncommand = ["touch", "/tmp/planted"]\n'
FIND = 'name = "find"\ndescription = "Finds."\nmethod = "GET"\nurl = "https://shop.example/{path}"\n'


def test_version_with_a_command_is_shown_and_refused(suite: Suite, tmp_path: Path) -> None:
    """The suite of these tests permits no command, so the active version stays."""
    folder = Path(shutil.copytree(FLEET, tmp_path / "fleet"))
    (folder / "tools").mkdir()
    (folder / "tools" / "stock.toml").write_text(TOOL)
    before = suite.get("/v1/ops/fleet")["version"]
    shown = run_cli(suite, "fleet", "diff", str(folder))
    assert shown.returncode == 0, shown.stderr
    assert "+ command touch /tmp/planted (tool stock, reads)" in shown.stdout
    refused = run_cli(suite, "fleet", "apply", str(folder))
    assert refused.returncode == 1
    assert "TRUNKLINE_MCP_COMMANDS" in refused.stderr
    assert suite.get("/v1/ops/fleet")["version"] == before


def test_change_of_tools_alone_is_applied(suite: Suite, tmp_path: Path) -> None:
    """A new tool, then another address of it; each makes a version, and applying it again makes none."""
    folder = Path(shutil.copytree(FLEET, tmp_path / "fleet"))
    (folder / "tools").mkdir()
    first = suite.get("/v1/ops/fleet")["version"]
    for path, line in (("find", "+ tool find (http)"), ("seek", "~ tool find: url: 'https://shop.example/find' -> ")):
        (folder / "tools" / "find.toml").write_text(FIND.format(path=path))
        before = suite.get("/v1/ops/fleet")["version"]
        applied = run_cli(suite, "fleet", "apply", str(folder))
        assert applied.returncode == 0, applied.stderr
        assert applied.stdout.startswith(line)
        version = suite.get("/v1/ops/fleet")["version"]
        assert version > before
        again = run_cli(suite, "fleet", "apply", str(folder))
        assert again.stdout == f"no difference from version {version}\n"
    assert run_cli(suite, "fleet", "rollback", "--to", str(first)).returncode == 0


def test_apply_without_a_difference_changes_nothing_and_shows_warnings(suite: Suite, tmp_path: Path) -> None:
    """A file that is not read has no effect; warnings are on stderr."""
    folder = Path(shutil.copytree(FLEET, tmp_path / "fleet"))
    (folder / "agents" / "billing" / "notes.md").write_text("")
    before = suite.get("/v1/ops/fleet")["version"]
    applied = run_cli(suite, "fleet", "apply", str(folder))
    assert applied.returncode == 0, applied.stderr
    assert applied.stdout == f"no difference from version {before}\n"
    assert f"{folder}/agents/billing/notes.md: warning: not read" in applied.stderr
    assert suite.get("/v1/ops/fleet")["version"] == before


def test_start_shows_warnings_of_its_fleet(tmp_path: Path) -> None:
    """The suite starts as always."""
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "fleet"))
    (folder / "agents" / "sales.toml").write_text("")
    running = Suite(tmp_path / "data", {"TRUNKLINE_FLEET_DIR": str(folder)})
    try:
        log = (running.data_dir / "up.log").read_text(encoding="utf-8")
    finally:
        assert running.stop() == 0
    assert f"trunkline: {folder}/agents/sales.toml: warning: not read" in log
